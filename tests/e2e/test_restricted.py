"""Restrictions: RBAC rights, access to control ports, and the rights of a pod."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocrpool.resource.names import CONTROL_PORT, DATA_PORT
from tests.devcluster.pods import await_ready, pod, run_python
from tests.e2e import pools
from tests.e2e.installs import Installation
from tests.e2e.pools import LivePool
from tests.operator import rights
from tools.devcluster.testing import Namespace

pytestmark = pytest.mark.timeout(300, func_only=True)
Right = tuple[str, str, str]


@pytest.fixture
def pool(restricted_namespace: Namespace) -> LivePool:
    live = pools.apply(restricted_namespace, pools.fake_engine_pool())
    live.until_ready(1)
    return live


ASK = """
import sys, urllib.error, urllib.request
request = urllib.request.Request("http://127.0.0.1:{port}" + sys.argv[1])
if sys.argv[2:]: request.add_header("Authorization", "Bearer " + sys.argv[2])
try: answer = urllib.request.urlopen(request, timeout=5)
except urllib.error.HTTPError as error: answer = error
print(answer.status, answer.read().decode())
"""
REACH = """
import socket
for port in ({data}, {control}):
    try: socket.create_connection(("{ip}", port), timeout=3).close()
    except OSError as error: print(type(error).__name__)
    else: print("open")
"""


def _control(pool: LivePool, *words: str) -> tuple[int, str]:
    """The answer of the worker's control port, called inside its pod with a path and a token."""
    (name,) = pool.pods
    ask = ASK.format(port=CONTROL_PORT)
    output = pool.namespace.kubectl("exec", name, "--", "python", "-c", ask, *words)
    status, _, text = output.partition(" ")
    return int(status), text


def test_the_control_port_asks_for_the_token(pool: LivePool) -> None:
    template = "--output=go-template={{.data.token|base64decode}}"
    token = pool.namespace.kubectl("get", "secret", f"{pool.name}-control", template)

    assert _control(pool, "/v1/state")[0] == 401
    assert _control(pool, "/v1/state", "wrong")[0] == 401
    status, text = _control(pool, "/v1/state", token)
    assert (status, json.loads(text)["instances"]["ready"]) == (200, 1)
    assert _control(pool, "/readyz")[0] == 200


def test_from_another_namespace_only_the_data_port_answers(
    pool: LivePool, namespace: Namespace
) -> None:
    """This node enforces the pool's NetworkPolicy. The operator can reach the control port."""
    namespace.apply(pod("other"))
    await_ready(namespace, "other")
    (worker,) = pool.pods.values()
    ip = worker["status"]["podIP"]

    found = run_python(
        namespace, "other", REACH.format(data=DATA_PORT, control=CONTROL_PORT, ip=ip)
    )

    data, control = found.split()
    assert data == "open"
    # Network plugins may drop or reject; kube-router rejects.
    assert control in ("ConnectionRefusedError", "TimeoutError")


def test_a_worker_runs_as_nobody_and_writes_only_to_its_temporary_folder(pool: LivePool) -> None:
    """The namespace enforces the level `restricted`, which checks everything else."""
    (name,) = pool.pods
    look = (
        "import os\n"
        "def can_write(folder):\n"
        "    try: open(folder + '/x', 'w').close()\n"
        "    except OSError as error: return error.strerror\n"
        "    return 'yes'\n"
        "status = dict(line.split(':', 1) for line in open('/proc/self/status'))\n"
        "print(os.getuid(), os.getgid(), int(status['CapEff'], 16), status['NoNewPrivs'].strip())\n"
        "print(*(can_write(each) for each in ('/tmp', '/opt/ocrpool', '/models', '/')), sep=';')\n"
        "print(os.path.exists('/var/run/secrets/kubernetes.io'))\n"
    )
    found = pool.namespace.kubectl("exec", name, "--", "python", "-c", look).splitlines()

    assert found[0] == "65532 65532 0 1"
    assert found[1] == "yes" + ";Read-only file system" * 3
    assert found[2] == "False"


def test_process_1_reaps_orphans_of_ended_instances(pool: LivePool) -> None:
    """Only process 1 can reap an orphan; the supervisor is not its parent."""
    (name,) = pool.pods
    orphan = "import os\nif os.fork() == 0:\n    os.fork() or os.execlp('sleep', 'sleep', '0.2')"
    count = (
        "import glob, time\n"
        "time.sleep(1)\n"
        "print(open('/proc/1/comm').read().strip())\n"
        "stats = [open(each).read() for each in glob.glob('/proc/[0-9]*/stat')]\n"
        "print(sum(')' in each and each.rpartition(')')[2].split()[0] == 'Z' for each in stats))\n"
    )
    pool.namespace.kubectl("exec", name, "--", "python", "-c", orphan)

    found = pool.namespace.kubectl("exec", name, "--", "python", "-c", count).split()

    assert found == ["tini", "0"]


def test_the_image_has_fonts_for_letters_without_a_font_in_a_pdf(pool: LivePool) -> None:
    (name,) = pool.pods
    letters = "ŁąřőğİΩαЖщŠž发票號請カな한글"
    look = (
        "from ocrpool_worker.decoding.pdf_fonts import choose_fonts\n"
        f"print(choose_fonts().other.path.name, sorted(choose_fonts().lacks(set({letters!r}))))"
    )

    found = pool.namespace.kubectl("exec", name, "--", "python", "-c", look).split()

    assert found == ["wqy-microhei.ttc", "[]"]


def _allowed(installation: Installation, account: str, namespace: str) -> set[Right]:
    """`kubectl auth can-i --list`, as the API server answers it: (verb, group, resource)."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    # kubectl's own validation would need rights that the account need not have.
    words = ("create", "--filename=-", "--output=json", "--validate=false", f"--as={account}")
    groups = ("--as-group=system:serviceaccounts", "--as-group=system:authenticated")
    answer = json.loads(installation.cluster.kubectl(*words, *groups, manifest=review))
    return _flat(answer["status"]["resourceRules"])


def _flat(rules: list[dict[str, Any]]) -> set[Right]:
    return {
        (verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def test_the_operator_has_exactly_the_rights_that_it_uses(
    installation: Installation, restricted_namespace: Namespace
) -> None:
    """tests/operator/test_rights.py compares these rules with the calls of the operator."""
    nobody = f"system:serviceaccount:{restricted_namespace.name}:default"
    everybodys = _allowed(installation, nobody, restricted_namespace.name)
    lease = {(verb, "coordination.k8s.io", "leases") for verb in ("get", "create", "update")}

    assert _allowed(
        installation, installation.account, restricted_namespace.name
    ) - everybodys == _flat(rights.rules())
    assert (
        _allowed(installation, installation.account, installation.system.name) - everybodys
        == _flat(rights.rules()) | lease
    )
