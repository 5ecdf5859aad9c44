"""What goes wrong around the operator, on a real API server: it converges, and the conditions tell
the truth meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.operator import rights
from tests.operator.harness import Lab, Operator, pool, still_pool
from tests.operator.kubelet import Kubelet
from tools.devcluster import processes

pytestmark = pytest.mark.timeout(300)


def test_rights_taken_away_and_given_back(lab: Lab) -> None:
    without = [rule for rule in rights.rules() if rule["resources"] != ["pods"]]
    reads = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
    rights.grant(lab.namespace, [*without, reads])
    lab.start()
    lab.apply(pool(replicas=1))
    lab.until("it says what it may not", lambda: lab.condition("Degraded") == ("True", "Forbidden"))
    assert "rbac.yaml" in str(lab.status()["conditions"])
    time.sleep(1)  # the Events of that
    before = lab.operators[-1].writes()
    time.sleep(5)
    # It tries on, with pauses that grow.
    assert lab.operators[-1].writes() - before <= 2

    rights.grant(lab.namespace)
    lab.until_ready(1)
    assert lab.condition("Degraded")[0] == "False"


def test_not_even_the_list_of_pods_is_allowed(lab: Lab) -> None:
    """Nothing is made on the cache's word alone; that it is so is told all the same."""
    lab.start()
    without = [rule for rule in rights.rules() if rule["resources"] != ["pods"]]
    rights.grant(lab.namespace, without)
    lab.apply(pool(replicas=1))
    lab.until("it says what it may not", lambda: lab.condition("Degraded") == ("True", "Forbidden"))
    assert not lab.pods()

    rights.grant(lab.namespace)
    lab.until_ready(1)
    assert lab.condition("Degraded")[0] == "False"


def test_the_api_server_restarts(lab: Lab) -> None:
    folder = lab.namespace.cluster.folder
    assert folder is not None
    lab.start()
    lab.apply(pool(replicas=1))
    lab.until_ready(1)
    [server] = [each for each in processes.running(folder) if each.name == "kube-apiserver"]
    with open(f"/proc/{server.pid}/cmdline", "rb") as file:
        command = [word.decode() for word in file.read().split(b"\0") if word]
    assert not processes.stop(folder, ["kube-apiserver"])
    time.sleep(3)
    processes.start(folder, "kube-apiserver", command)
    lab.until("the server answers", lab.pools, 60)
    lab.namespace.kubectl("scale", "ocrp/pages", "--replicas=2")
    lab.until_ready(2, seconds=150)


def test_a_worker_that_hangs(lab: Lab) -> None:
    lab.start()
    lab.apply(pool(replicas=1))
    lab.until_ready(1)
    process = lab.kubelet.sandbox("pages-0").process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        lab.until(
            "it is told that the worker is silent",
            lambda: lab.condition("Ready")[0] == "False" or lab.condition("Degraded")[0] == "True",
        )
    finally:
        os.kill(process.pid, signal.SIGCONT)
    lab.until_ready(1)


@contextmanager
def nonsense(ip: str) -> Iterator[None]:
    """A control port that answers something that is not a state."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"device": 3}')

        def do_PUT(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer((ip, 8081), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_worker_that_answers_nonsense(lab: Lab) -> None:
    lab.start()
    lab.apply(pool(replicas=1))
    lab.until_ready(1)
    sandbox = lab.kubelet.sandbox("pages-0")
    lab.kubelet.freeze()
    assert sandbox.process is not None
    sandbox.process.kill()
    sandbox.process.wait()
    with nonsense(sandbox.ip):
        lab.until(
            "it says that this is no worker's state",
            lambda: (
                lab.condition("Degraded") == ("True", "WorkerUnreachable")
                and "not a worker's state" in str(lab.status())
            ),
        )


def test_what_was_changed_by_hand_is_put_right(lab: Lab) -> None:
    lab.start()
    lab.apply(pool(replicas=1))
    lab.until_ready(1)
    kubectl = lab.namespace.kubectl
    kubectl("delete", "service/pages", "pdb/pages")
    kubectl(
        "patch", "configmap/pages-settings", "--type=merge", "-p", '{"data":{"settings.yaml":""}}'
    )
    lab.until("the Service is back", lambda: lab.items("services"))
    lab.until("the budget is back", lambda: lab.items("poddisruptionbudgets"))
    lab.until("the settings are back", lambda: "queue: 64" in str(lab.items("configmaps")))
    lab.until_ready(1)


def test_bad_input_that_no_schema_can_refuse(lab: Lab) -> None:
    """A GPU that no node has; a model folder that is empty; a template that is refused."""
    lab.start()
    lab.apply(pool("gpus", device="gpu", resourceName="example.com/unknown", replicas=1))
    lab.apply(pool("empty", models={"dir": str(lab.folder / "nothing")}, replicas=1))
    lab.apply(pool("wrong", template={"resources": {"limits": {"memory": "a lot"}}}, replicas=1))
    expected = {"gpus": "WaitingForCapacity", "empty": "ModelMissing", "wrong": "Refused"}
    for name, reason in expected.items():
        lab.until(
            f"{name} says {reason}",
            lambda name=name, reason=reason: lab.condition("Degraded", name) == ("True", reason),
        )
    operator = lab.operators[-1]
    time.sleep(2)
    before = operator.writes()
    time.sleep(5)
    # Only the refused pod is tried again, with pauses that grow; a new spec is tried at once.
    assert operator.writes() - before <= 1
    lab.apply(pool("wrong", replicas=1))
    lab.until_ready(1, "wrong", seconds=45)
    for name in expected:
        lab.namespace.kubectl("delete", "ocrp", name, "--wait=false")
    lab.until("nothing is left behind", lab.gone)


def test_a_stranger_has_the_name(lab: Lab) -> None:
    container = {"name": "main", "image": "none"}
    lab.namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "pages-0"},
            "spec": {"containers": [container], "schedulerName": "nobody"},
        }
    )
    lab.start()
    lab.apply(pool(replicas=1))
    lab.until("it says so", lambda: lab.condition("Degraded") == ("True", "NameTaken"))
    # Looked at once a round, and not tried.
    writes, rounds = lab.operators[-1].writes(), rounds_of(lab.operators[-1])
    lab.until("some rounds more", lambda: rounds_of(lab.operators[-1]) > rounds + 5)
    assert lab.operators[-1].writes() - writes <= 1
    lab.namespace.kubectl("delete", "pod", "pages-0", "--force")
    lab.until_ready(1)


@pytest.mark.usefixtures("models")
def test_a_quiet_pool_is_written_nothing(lab: Lab) -> None:
    """At ten looks a second, twenty seconds are the looks of a quarter of an hour."""
    operator = lab.start("--interval", "0.1")
    lab.apply(still_pool())
    lab.until_ready(2)
    operator.settle()
    told = lab.told()
    writes, rounds = operator.writes(), rounds_of(operator)
    time.sleep(20)
    assert lab.told() == told, f"before:\n{told}\nafter:\n{lab.told()}"
    assert operator.writes() == writes
    assert rounds_of(operator) - rounds > 60
    operator.stop()


def rounds_of(operator: Operator) -> float:
    return operator.metric('ocrpool_operator_rounds_total{result="ok"}')


def test_a_standby_takes_over(lab: Lab) -> None:
    lease = f"{lab.namespace.name}/ocrpool-operator"
    first = lab.start("--lease", lease)
    lab.apply(pool(replicas=1))
    lab.until_ready(1)
    second = lab.start("--lease", lease)
    lab.until("both answer", lambda: second.metric("ocrpool_operator_leading") == 0)
    assert first.metric("ocrpool_operator_leading") == 1
    first.kill()
    lab.until("the second acts", lambda: second.metric("ocrpool_operator_leading") == 1, 40)
    lab.namespace.kubectl("scale", "ocrp/pages", "--replicas=2")
    lab.until_ready(2)
    # In order, it gives the Lease back, and the next one need not wait.
    third = lab.start("--lease", lease)
    lab.until("the third answers", lambda: third.metric("ocrpool_operator_leading") == 0)
    second.stop()
    lab.until("the third acts", lambda: third.metric("ocrpool_operator_leading") == 1, 8)


def test_a_taken_port_is_one_line(lab: Lab) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        operator = lab.start("--port", str(taken.getsockname()[1]))
        assert operator.process.wait(20) == 1
    assert operator.tail(1).startswith("ocrpool-operator: ")


def test_a_node_that_goes_for_good(lab: Lab) -> None:
    """Its Node object is deleted, as a cloud does; the pod is replaced on another node."""
    lab.start()
    lab.apply(pool(replicas=1))
    lab.until_ready(1)
    uid = lab.uid("pages-0")
    with Kubelet(lab.api, lab.folder / "other") as other:
        lab.kubelet.freeze()
        lab.api.call("DELETE", f"/api/v1/nodes/{lab.kubelet.node}")
        lab.until("another pod is there", lambda: lab.uid("pages-0") not in ("", uid), 150)
        lab.until_ready(1)
        assert lab.status()["workers"][0]["node"] == other.node
