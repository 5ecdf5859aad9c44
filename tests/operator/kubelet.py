"""A stand-in for kubelet: one node, and behind every pod on it the real worker process.

It is no kubelet: no containers, no images, no volumes, no network of its own. It keeps a Node
alive so that the real scheduler and controllers do their work, starts `ocrpool-worker` with the
settings and token that the pod's ConfigMap and Secret hold, on an address 127.x.y.z of the pod's
own, reports what `/readyz` says, restarts what ends, and ends what is deleted within its grace
period. What stands in for images, volumes and GPUs: tests/operator/image.py.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.operator import proxy_pod
from tests.operator.api import Api, Object, Refused
from tests.operator.image import Devices, models_arguments
from tools.devcluster.fakegpu.device import FakeGpu

ROOT = Path(__file__).resolve().parents[2]
_subnets = itertools.count()


@dataclass
class Sandbox:
    """One pod on the node."""

    uid: str
    ip: str
    folder: Path
    # The port that tells whether it is ready.
    probe: int = 8081
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    told: Object = field(default_factory=dict)
    asked_to_end: float | None = None


class Kubelet:
    """Use as a context manager. `freeze()` makes the node silent, as a lost one is."""

    def __init__(
        self,
        api: Api,
        folder: Path,
        *,
        devices: dict[str, int] | None = None,
        claims: dict[str, Path] | None = None,
        node: str = "fake",
    ) -> None:
        """`devices`: how many of each extended resource it has. `claims`: where volume claims
        lie on this machine."""
        self.node = f"{node}-{os.getpid()}-{next(_subnets)}"
        self._api = api
        self._folder = folder
        self.devices = Devices(folder / "gpus", devices or {"nvidia.com/gpu": 4})
        self._claims = claims or {}
        self._stop = threading.Event()
        self._frozen = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)
        self._addresses = itertools.count(1)
        self.dns = proxy_pod.ClusterDns(api)
        self._net = f"127.{20 + os.getpid() % 200}.{next(_subnets) % 250}"
        self.pods: dict[str, Sandbox] = {}
        self.errors: list[str] = []

    def __enter__(self) -> Kubelet:
        self._api.call("POST", "/api/v1/nodes", {"metadata": {"name": self.node}})
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.dns.close()
        for sandbox in self.pods.values():
            self._kill(sandbox)
        with contextlib.suppress(Refused):
            self._api.call("DELETE", f"/api/v1/nodes/{self.node}")

    @property
    def first_address(self) -> str:
        """What its first pod will have."""
        return f"{self._net}.1"

    def freeze(self) -> None:
        self._frozen.set()

    def thaw(self) -> None:
        """The node comes back."""
        self._frozen.clear()

    def gpu(self, pod: str) -> FakeGpu:
        """The device that a pod was given, by its name."""
        return self.devices.given[self.sandbox(pod).uid]

    def sandbox(self, pod: str) -> Sandbox:
        """What runs behind a pod, by its name."""
        return next(each for each in self.pods.values() if each.told.get("pod") == pod)

    def _run(self) -> None:
        beaten = 0.0
        while not self._stop.is_set():
            if not self._frozen.is_set():
                try:
                    if time.monotonic() - beaten > 5:
                        self._beat()
                        beaten = time.monotonic()
                    self._round()
                except Refused as error:
                    if error.status not in (404, 409):
                        self.errors.append(str(error))
                except OSError:
                    pass  # the API server is away; kubelet goes on
            self._stop.wait(0.2)

    def _beat(self) -> None:
        room = {"cpu": "64", "memory": "256Gi", "pods": "500"}
        room |= {name: str(count) for name, count in self.devices.counts.items()}
        now = _stamp()
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "FakeKubelet",
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        status = {"capacity": room, "allocatable": room, "conditions": [ready]}
        self._api.merge(f"/api/v1/nodes/{self.node}/status", {"status": status})
        lease = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{self.node}"
        spec = {
            "holderIdentity": self.node,
            "leaseDurationSeconds": 40,
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        try:
            self._api.merge(lease, {"spec": spec})
        except Refused:
            body = {"metadata": {"name": self.node}, "spec": spec}
            with contextlib.suppress(Refused):
                self._api.call("POST", lease.rpartition("/")[0], body)
        node = self._api.get(f"/api/v1/nodes/{self.node}")
        if (node.get("spec") or {}).get("taints"):
            self._api.merge(f"/api/v1/nodes/{self.node}", {"spec": {"taints": None}})

    def _round(self) -> None:
        found = self._api.get(f"/api/v1/pods?fieldSelector=spec.nodeName={self.node}")
        seen = set()
        for pod in found["items"]:
            seen.add(pod["metadata"]["uid"])
            self._keep(pod)
        for uid in set(self.pods) - seen:
            self._kill(self.pods.pop(uid))
            self.devices.take_back(uid)

    def _keep(self, pod: Object) -> None:
        meta = pod["metadata"]
        sandbox = self.pods.get(meta["uid"])
        if "deletionTimestamp" in meta:
            self._end(pod, sandbox)
            return
        if sandbox is None:
            sandbox = self._make(pod)
        if sandbox.process is None or sandbox.process.poll() is not None:
            if sandbox.process is not None:
                sandbox.restarts += 1
            self._launch(pod, sandbox)
        self._tell(pod, sandbox)

    def _make(self, pod: Object) -> Sandbox:
        meta = pod["metadata"]
        folder = self._folder / meta["uid"]
        folder.mkdir(parents=True)
        base = f"/api/v1/namespaces/{meta['namespace']}"
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        ip = f"{self._net}.{next(self._addresses)}"
        if proxy_pod.is_proxy(pod):
            self.dns.watch(pod)
            config = self._api.get(f"{base}/configmaps/{volumes['config']['configMap']['name']}")
            proxy_pod.write(config["data"], folder, ip, self.dns.port)
            self.pods[meta["uid"]] = Sandbox(meta["uid"], ip, folder, probe=proxy_pod.PROBE)
            return self.pods[meta["uid"]]
        settings = self._api.get(f"{base}/configmaps/{volumes['settings']['configMap']['name']}")
        token = self._api.get(f"{base}/secrets/{volumes['control']['secret']['secretName']}")
        (folder / "settings.yaml").write_text(settings["data"]["settings.yaml"], encoding="utf-8")
        for key in ("token", "proxy"):
            (folder / key).write_bytes(base64.b64decode(token["data"][key]))
        sandbox = Sandbox(meta["uid"], ip, folder)
        self.pods[meta["uid"]] = sandbox
        return sandbox

    def _launch(self, pod: Object, sandbox: Sandbox) -> None:
        if proxy_pod.is_proxy(pod):
            sandbox.process = proxy_pod.launch(pod, sandbox.folder)
            return
        arguments = pod["spec"]["containers"][0]["args"]
        assert arguments[:2] == ["serve", "--config"], arguments
        settings = sandbox.folder / "settings.yaml"
        command = [sys.executable, "-m", "ocrpool_worker", arguments[0]]
        command += ["--config", str(settings), *arguments[3:], "--host", sandbox.ip]
        command += models_arguments(pod, settings.read_text(encoding="utf-8"), self._claims)
        command += ["--set", f"http.tokenFile={sandbox.folder / 'token'}"]
        env = self.devices.give(pod, sandbox.folder / "devices")
        env |= {each["name"]: each.get("value", "") for each in _env(pod)}
        with (sandbox.folder / "log").open("ab") as log:
            sandbox.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"} | env,
            )

    def _tell(self, pod: Object, sandbox: Sandbox) -> None:
        ready = _answers(f"http://{sandbox.ip}:{sandbox.probe}/readyz")
        told = {"pod": pod["metadata"]["name"], "ready": ready, "restarts": sandbox.restarts}
        if sandbox.told == told:
            return
        conditions = [
            {
                "type": kind,
                "status": "True" if yes else "False",
                "lastTransitionTime": _stamp(),
            }
            for kind, yes in (("Ready", ready), ("ContainersReady", ready), ("Initialized", True))
        ]
        scheduled = [
            each for each in pod["status"].get("conditions", []) if each["type"] == "PodScheduled"
        ]
        container = {
            "name": pod["spec"]["containers"][0]["name"],
            "image": "fake",
            "imageID": "",
            "ready": ready,
            "restartCount": sandbox.restarts,
            "state": {"running": {"startedAt": _stamp()}},
        }
        status = {
            "phase": "Running",
            "podIP": sandbox.ip,
            "podIPs": [{"ip": sandbox.ip}],
            "conditions": conditions + scheduled,
            "containerStatuses": [container],
        }
        self._api.merge(f"{_path(pod)}/status", {"status": status})
        sandbox.told = told

    def _end(self, pod: Object, sandbox: Sandbox | None) -> None:
        if sandbox is not None and sandbox.process is not None and sandbox.process.poll() is None:
            if sandbox.asked_to_end is None:
                sandbox.asked_to_end = time.monotonic()
                sandbox.process.send_signal(
                    proxy_pod.STOP_SIGNAL if proxy_pod.is_proxy(pod) else signal.SIGTERM
                )
            grace = pod["metadata"].get("deletionGracePeriodSeconds", 30)
            if time.monotonic() - sandbox.asked_to_end < grace:
                return
            self._kill(sandbox)
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        self._api.call("DELETE", _path(pod), body)

    def _kill(self, sandbox: Sandbox) -> None:
        process = sandbox.process
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()


def _env(pod: Object) -> list[dict[str, Any]]:
    return list(pod["spec"]["containers"][0].get("env", ()))


def _path(pod: Object) -> str:
    meta = pod["metadata"]
    return f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False
