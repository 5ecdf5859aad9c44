"""The harness of operator tests: starts and ends operators, applies pools, waits for conditions."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.operator import audit, rights
from tests.operator.api import Api, Object, Refused
from tests.operator.kubelet import ROOT, Kubelet
from tools.devcluster.testing import Namespace

CRD = ROOT / "manifests" / "crd.yaml"
POOL: Object = {
    "apiVersion": "ocrpool.dev/v1alpha1",
    "kind": "OcrPool",
    "metadata": {"name": "pages"},
    "spec": {
        "device": "cpu",
        "replicas": 2,
        "scaleDownStabilizationSeconds": 1,
        "instances": {"min": 1, "max": 1},
        "memory": {"reserve": "0"},
        "engine": {"name": "tests.fake_engine:FakeEngine"},
        "admission": {"maxMegapixels": 0.25, "timeoutSeconds": 15},
        "recycle": {"memoryGrowth": 0},
        "template": {"graceSeconds": 1},
    },
}


def pool(name: str = "pages", **spec: Any) -> Object:
    """An OcrPool whose workers run the fake engine."""
    return {**POOL, "metadata": {"name": name}, "spec": {**POOL["spec"], **spec}}


def still_pool() -> Object:
    """An OcrPool with one instance on each of two fake GPUs. Its status stays the same while other
    processes on the machine take and release RAM."""
    return gpu_pool(replicas=2, instances={"min": 1, "max": 1})


def gpu_pool(name: str = "pages", **spec: Any) -> Object:
    """An OcrPool on GPUs with the worker's own PaddleOCR engine. An instance takes 784 MiB of its
    device (tests/operator/gpu_image), so three fit on the node's GPUs of 4 GiB."""
    given: Object = {
        "device": "gpu",
        "replicas": 1,
        "instances": {"min": 1, "max": 8},
        "admission": {"maxMegapixels": 0.25, "timeoutSeconds": 15},
        "recycle": {"memoryGrowth": 0},
        "template": {"graceSeconds": 1},
    }
    return {**POOL, "metadata": {"name": name}, "spec": {**given, **spec}}


class OperatorProcess:
    """`ocrpool-operator run` for one namespace, as a process."""

    def __init__(
        self,
        kubeconfig: Path,
        namespace: str,
        log: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        module: str = "ocrpool_operator.cli",
    ) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.log = log
        command = [sys.executable, "-m", module, "run", "--namespace", namespace]
        command += ["--interval", "0.5", "--host", "127.0.0.1", "--port", str(self.port)]
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [*command, *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, "KUBECONFIG": str(kubeconfig), **(environment or {})},
            )

    def stop(self) -> None:
        """Send SIGTERM; the process must exit with status 0."""
        if self.process.poll() is None:
            self.process.terminate()
        assert self.process.wait(20) == 0, self.tail()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def metric(self, line: str) -> float:
        """The value of one line of /metrics; 0 if the line is missing."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as response:
            text = response.read().decode()
        found = (row.rpartition(" ") for row in text.splitlines())
        return sum(float(value) for name, _, value in found if name == line)

    def writes(self) -> float:
        return self.metric("ocrpool_operator_api_writes_total")

    def settle(self) -> None:
        """Wait until the operator has reported everything: no write for three seconds."""
        deadline = time.monotonic() + 30
        while True:
            writes = self.writes()
            time.sleep(3)
            if self.writes() == writes:
                return
            assert time.monotonic() < deadline, self.tail()

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8").splitlines()[-lines:])


class OperatorHarness:
    """One namespace with the operator in it."""

    def __init__(self, api: Api, namespace: Namespace, kubelet: Kubelet, folder: Path) -> None:
        self.api = api
        self.namespace = namespace
        self.kubelet = kubelet
        self.folder = folder
        self.operators: list[OperatorProcess] = []
        # The operator has the rights of the manifests, and no others.
        rights.grant(namespace)
        self.kubeconfig = rights.kubeconfig(namespace, folder)

    def __enter__(self) -> OperatorHarness:
        return self

    def __exit__(self, *_: object) -> None:
        for operator in self.operators:
            if operator.process.poll() is None:
                operator.kill()
        # Without an operator nobody takes the finalizers off.
        for each in self.pools():
            path = f"{self.path('ocrpools')}/{each['metadata']['name']}"
            with contextlib.suppress(Refused):
                self.api.merge(path, {"metadata": {"finalizers": None}})
        audit.hold(self.namespace)

    def use_server(self, server: str) -> None:
        """Let operators that start from now on use this address of the API server."""
        config = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        config["clusters"][0]["cluster"] = {"server": server}
        self.kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")

    def start(self, *arguments: str, **options: Any) -> OperatorProcess:
        operator = OperatorProcess(
            self.kubeconfig,
            self.namespace.name,
            self.folder / "operator.log",
            *arguments,
            **options,
        )
        self.operators.append(operator)
        return operator

    def apply(self, body: Object) -> None:
        self.namespace.apply(body)

    def path(self, plural: str) -> str:
        roots = {
            "ocrpools": "/apis/ocrpool.dev/v1alpha1",
            "poddisruptionbudgets": "/apis/policy/v1",
            "networkpolicies": "/apis/networking.k8s.io/v1",
            "deployments": "/apis/apps/v1",
        }
        return f"{roots.get(plural, '/api/v1')}/namespaces/{self.namespace.name}/{plural}"

    def items(self, plural: str) -> list[Object]:
        return list(self.api.get(self.path(plural))["items"])

    def pools(self) -> list[Object]:
        return self.items("ocrpools")

    def pods(self) -> dict[str, Object]:
        return {each["metadata"]["name"]: each for each in self.items("pods")}

    def uid(self, pod: str) -> str:
        """A pod's uid; empty if there is no pod of that name."""
        return str(self.pods().get(pod, {}).get("metadata", {}).get("uid", ""))

    def status(self, name: str = "pages") -> Object:
        found: Object = self.api.get(f"{self.path('ocrpools')}/{name}").get("status") or {}
        return found

    def reported(self) -> str:
        """Everything that the operator reported about the pool: its status and its Events."""
        return yaml.safe_dump([self.status(), self.events()])

    def events(self, *reasons: str) -> list[str]:
        """The messages of the pools' Events, the oldest first; with `reasons` of only these."""
        found = [
            each
            for each in self.items("events")
            if each["involvedObject"]["kind"] == "OcrPool"
            and (not reasons or each["reason"] in reasons)
        ]
        found.sort(key=lambda each: str(each["metadata"]["name"]))
        return [each["message"] for each in found]

    def condition(self, kind: str, name: str = "pages") -> tuple[str, str]:
        for each in self.status(name).get("conditions", ()):
            if each["type"] == kind:
                return each["status"], each["reason"]
        return "", ""

    def until(self, what: str, look: Callable[[], object], seconds: float = 60) -> None:
        """Wait until `look` is true. The failure shows the statuses and the operator's log."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, Refused):
                if look():
                    return
            time.sleep(0.2)
        raise AssertionError(f"not within {seconds:g} s: {what}\n{self.describe()}")

    def until_ready(self, count: int = 2, name: str = "pages", seconds: float = 90) -> None:
        def look() -> bool:
            status = self.status(name)
            ready = self.condition("Ready", name) == ("True", "AllWorkersReady")
            settled = self.condition("Progressing", name)[0] == "False"
            return ready and settled and status.get("readyReplicas") == count

        self.until(f"{count} workers of {name} are ready", look, seconds)

    def queues_below(self, seconds: float) -> bool:
        """Whether no request waits longer than this, according to the workers' metrics."""
        for pod in self.pods().values():
            url = f"http://{pod['status']['podIP']}:8081/metrics"
            with urllib.request.urlopen(url, timeout=5) as response:
                text = response.read().decode()
            rows = (row.rpartition(" ") for row in text.splitlines())
            oldest = next(v for name, _, v in rows if name == "ocrpool_queue_oldest_seconds")
            if float(oldest) >= seconds:
                return False
        return True

    def describe(self) -> str:
        statuses = [each.get("status") for each in self.pools()]
        logs = [operator.tail() for operator in self.operators[-1:]]
        return "\n".join([json.dumps(statuses, indent=1), *logs])

    def gone(self) -> bool:
        """Whether no object of any pool is left in the namespace."""
        left = self.pools() + self.items("pods") + self.items("services")
        left += self.items("poddisruptionbudgets") + self.items("secrets")
        left += self.items("networkpolicies") + self.items("deployments")
        maps = [each["metadata"]["name"] for each in self.items("configmaps")]
        return not left and maps == ["kube-root-ca.crt"]


@contextlib.contextmanager
def watching(harness: OperatorHarness, look: Callable[[dict[str, Object]], None]) -> Iterator[None]:
    """Call `look` with the pods repeatedly while the block runs. If it fails, the test fails."""
    import threading  # noqa: PLC0415

    stop, failures = threading.Event(), []

    def turn() -> None:
        while not stop.is_set():
            try:
                look(harness.pods())
            except AssertionError as error:
                failures.append(error)
                return
            except OSError:
                pass
            stop.wait(0.1)

    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if failures:
        raise failures[0]
