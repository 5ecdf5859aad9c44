"""Faults around the operator, on a real API server: it converges, and the conditions report what is
wrong meanwhile."""

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
from tests.operator.harness import OperatorHarness, OperatorProcess, pool, still_pool
from tests.operator.kubelet import Kubelet
from tools.devcluster import processes

pytestmark = pytest.mark.timeout(300)


def test_operator_recovers_when_its_rights_are_restored(harness: OperatorHarness) -> None:
    without = [rule for rule in rights.rules() if rule["resources"] != ["pods"]]
    reads = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
    rights.grant(harness.namespace, [*without, reads])
    harness.start()
    harness.apply(pool(replicas=1))
    harness.until(
        "the missing right is reported",
        lambda: harness.condition("Degraded") == ("True", "Forbidden"),
    )
    assert "rbac.yaml" in str(harness.status()["conditions"])
    time.sleep(1)  # the Events of that
    before = harness.operators[-1].writes()
    time.sleep(5)
    # It retries, with growing pauses.
    assert harness.operators[-1].writes() - before <= 2

    rights.grant(harness.namespace)
    harness.until_ready(1)
    assert harness.condition("Degraded")[0] == "False"


def test_forbidden_pod_list_is_reported_and_nothing_is_done(harness: OperatorHarness) -> None:
    """The cache alone is not enough to create anything. The refused list is reported."""
    harness.start()
    without = [rule for rule in rights.rules() if rule["resources"] != ["pods"]]
    rights.grant(harness.namespace, without)
    harness.apply(pool(replicas=1))
    harness.until(
        "the missing right is reported",
        lambda: harness.condition("Degraded") == ("True", "Forbidden"),
    )
    assert not harness.pods()

    rights.grant(harness.namespace)
    harness.until_ready(1)
    assert harness.condition("Degraded")[0] == "False"


def test_operator_recovers_after_an_api_server_restart(harness: OperatorHarness) -> None:
    folder = harness.namespace.cluster.folder
    assert folder is not None
    harness.start()
    harness.apply(pool(replicas=1))
    harness.until_ready(1)
    [server] = [each for each in processes.running(folder) if each.name == "kube-apiserver"]
    with open(f"/proc/{server.pid}/cmdline", "rb") as file:
        command = [word.decode() for word in file.read().split(b"\0") if word]
    assert not processes.stop(folder, ["kube-apiserver"])
    time.sleep(3)
    processes.start(folder, "kube-apiserver", command)
    harness.until("the server answers", harness.pools, 60)
    harness.namespace.kubectl("scale", "ocrp/pages", "--replicas=2")
    harness.until_ready(2, seconds=150)


def test_hanging_worker_is_reported_and_recovers(harness: OperatorHarness) -> None:
    harness.start()
    harness.apply(pool(replicas=1))
    harness.until_ready(1)
    process = harness.kubelet.sandbox("pages-0").process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        harness.until(
            "the unreachable worker is reported",
            lambda: (
                harness.condition("Ready")[0] == "False"
                or harness.condition("Degraded")[0] == "True"
            ),
        )
    finally:
        os.kill(process.pid, signal.SIGCONT)
    harness.until_ready(1)


@contextmanager
def invalid_states(ip: str) -> Iterator[None]:
    """A control port that answers JSON that is not a state."""

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


def test_invalid_state_of_a_worker_is_reported(harness: OperatorHarness) -> None:
    harness.start()
    harness.apply(pool(replicas=1))
    harness.until_ready(1)
    sandbox = harness.kubelet.sandbox("pages-0")
    harness.kubelet.freeze()
    assert sandbox.process is not None
    sandbox.process.kill()
    sandbox.process.wait()
    with invalid_states(sandbox.ip):
        harness.until(
            "the invalid state is reported",
            lambda: (
                harness.condition("Degraded") == ("True", "WorkerUnreachable")
                and "not a worker's state" in str(harness.status())
            ),
        )


def test_manual_changes_are_reverted(harness: OperatorHarness) -> None:
    harness.start()
    harness.apply(pool(replicas=1))
    harness.until_ready(1)
    kubectl = harness.namespace.kubectl
    kubectl("delete", "service/pages", "pdb/pages")
    kubectl(
        "patch", "configmap/pages-settings", "--type=merge", "-p", '{"data":{"settings.yaml":""}}'
    )
    harness.until("the Service is back", lambda: harness.items("services"))
    harness.until("the budget is back", lambda: harness.items("poddisruptionbudgets"))
    harness.until("the settings are back", lambda: "queue: 64" in str(harness.items("configmaps")))
    harness.until_ready(1)


def test_problems_that_no_schema_can_refuse_are_reported(harness: OperatorHarness) -> None:
    """A GPU type that no node has, an empty model folder, and a template that is refused."""
    harness.start()
    harness.apply(pool("gpus", device="gpu", resourceName="example.com/unknown", replicas=1))
    harness.apply(pool("empty", models={"dir": str(harness.folder / "nothing")}, replicas=1))
    harness.apply(
        pool("wrong", template={"resources": {"limits": {"memory": "a lot"}}}, replicas=1)
    )
    expected = {"gpus": "WaitingForCapacity", "empty": "ModelMissing", "wrong": "Refused"}
    for name, reason in expected.items():
        harness.until(
            f"{name} reports {reason}",
            lambda name=name, reason=reason: (
                harness.condition("Degraded", name) == ("True", reason)
            ),
        )
    operator = harness.operators[-1]
    time.sleep(2)
    before = operator.writes()
    time.sleep(5)
    # Only the refused pod is tried again, with growing pauses. A new spec is tried at once.
    assert operator.writes() - before <= 1
    harness.apply(pool("wrong", replicas=1))
    harness.until_ready(1, "wrong", seconds=45)
    for name in expected:
        harness.namespace.kubectl("delete", "ocrp", name, "--wait=false")
    harness.until("nothing is left behind", harness.gone)


def test_taken_pod_name_is_reported(harness: OperatorHarness) -> None:
    container = {"name": "main", "image": "none"}
    harness.namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "pages-0"},
            "spec": {"containers": [container], "schedulerName": "nobody"},
        }
    )
    harness.start()
    harness.apply(pool(replicas=1))
    harness.until(
        "the taken name is reported", lambda: harness.condition("Degraded") == ("True", "NameTaken")
    )
    # The name is checked once a round; no create is tried.
    writes, rounds = harness.operators[-1].writes(), rounds_of(harness.operators[-1])
    harness.until("some rounds more", lambda: rounds_of(harness.operators[-1]) > rounds + 5)
    assert harness.operators[-1].writes() - writes <= 1
    harness.namespace.kubectl("delete", "pod", "pages-0", "--force")
    harness.until_ready(1)


@pytest.mark.usefixtures("models")
def test_nothing_is_written_to_an_unchanged_pool(harness: OperatorHarness) -> None:
    """Ten rounds per second for 20 s are as many rounds as in a quarter of an hour."""
    operator = harness.start("--interval", "0.1")
    harness.apply(still_pool())
    harness.until_ready(2)
    operator.settle()
    before = harness.reported()
    writes, rounds = operator.writes(), rounds_of(operator)
    time.sleep(20)
    assert harness.reported() == before, f"before:\n{before}\nafter:\n{harness.reported()}"
    assert operator.writes() == writes
    assert rounds_of(operator) - rounds > 60
    operator.stop()


def rounds_of(operator: OperatorProcess) -> float:
    return operator.metric('ocrpool_operator_rounds_total{result="ok"}')


def test_standby_takes_over(harness: OperatorHarness) -> None:
    lease = f"{harness.namespace.name}/ocrpool-operator"
    first = harness.start("--lease", lease)
    harness.apply(pool(replicas=1))
    harness.until_ready(1)
    second = harness.start("--lease", lease)
    harness.until("both answer", lambda: second.metric("ocrpool_operator_leading") == 0)
    assert first.metric("ocrpool_operator_leading") == 1
    first.kill()
    harness.until("the second acts", lambda: second.metric("ocrpool_operator_leading") == 1, 40)
    harness.namespace.kubectl("scale", "ocrp/pages", "--replicas=2")
    harness.until_ready(2)
    # An orderly stop releases the Lease, so that the next operator need not wait.
    third = harness.start("--lease", lease)
    harness.until("the third answers", lambda: third.metric("ocrpool_operator_leading") == 0)
    second.stop()
    harness.until("the third acts", lambda: third.metric("ocrpool_operator_leading") == 1, 8)


def test_taken_port_is_one_log_line(harness: OperatorHarness) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        operator = harness.start("--port", str(taken.getsockname()[1]))
        assert operator.process.wait(20) == 1
    assert operator.tail(1).startswith("ocrpool-operator: ")


def test_workers_of_a_deleted_node_are_replaced(harness: OperatorHarness) -> None:
    """The Node object is deleted, as by a cloud provider. The pod is replaced on another node."""
    harness.start()
    harness.apply(pool(replicas=1))
    harness.until_ready(1)
    uid = harness.uid("pages-0")
    with Kubelet(harness.api, harness.folder / "other") as other:
        harness.kubelet.freeze()
        harness.api.call("DELETE", f"/api/v1/nodes/{harness.kubelet.node}")
        harness.until("another pod is there", lambda: harness.uid("pages-0") not in ("", uid), 150)
        harness.until_ready(1)
        assert harness.status()["workers"][0]["node"] == other.node
