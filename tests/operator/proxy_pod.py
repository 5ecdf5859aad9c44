"""What stands in for a proxy's image and for the cluster's DNS: the real HAProxy with the pod's own
settings, on the pod's own address, and names that follow the pods."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import threading
from pathlib import Path

from tests.operator.api import Api, Object, Refused
from tests.proxy.dns import FakeDns

PROBE = 8405
# The line with the name that stands for all workers.
SERVERS = "server-template"
# The STOPSIGNAL of HAProxy's images.
STOP_SIGNAL = signal.SIGUSR1


def is_proxy(pod: Object) -> bool:
    return bool(pod["spec"]["containers"][0]["name"] == "proxy")


def write(data: dict[str, str], folder: Path, ip: str, dns: int) -> None:
    """The settings as they are mounted, but for what a pod's own network would bring."""
    text = data["haproxy.cfg"]
    assert "parse-resolv-conf" in text
    text = text.replace("parse-resolv-conf", f"nameserver fake 127.0.0.1:{dns}")
    (folder / "haproxy.cfg").write_text(text.replace("bind :", f"bind {ip}:"), encoding="utf-8")


def launch(pod: Object, folder: Path) -> subprocess.Popen[bytes]:
    command = list(pod["spec"]["containers"][0]["command"])
    assert command[:-1] == ["haproxy", "-db", "-f"], command
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [*command[:-1], str(folder / "haproxy.cfg")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"},
        )


class Endpoints:
    """The addresses of the ready pods that a Service selects, every 0.3 s.

    A stand-in for the endpoints controller, too: the API server takes no 127.x.y.z as an endpoint.
    """

    def __init__(self, api: Api, namespace: str, service: str) -> None:
        self._api = api
        self._base = f"/api/v1/namespaces/{namespace}"
        self._service = service
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.addresses: list[str] = []
        self._thread.start()

    def pick(self) -> str:
        """One of them at random, as kube-proxy does it. Without any: an address that refuses."""
        return random.choice(self.addresses or ["127.0.0.1"])

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError, Refused):
                spec = self._api.get(f"{self._base}/services/{self._service}")["spec"]
                selector = ",".join(f"{key}={value}" for key, value in spec["selector"].items())
                pods = self._api.get(f"{self._base}/pods?labelSelector={selector}")["items"]
                self.addresses = [pod["status"]["podIP"] for pod in pods if _takes_requests(pod)]
            self._stop.wait(0.3)


def _takes_requests(pod: Object) -> bool:
    ready = [
        each["status"] for each in pod["status"].get("conditions", ()) if each["type"] == "Ready"
    ]
    return ready == ["True"] and "deletionTimestamp" not in pod["metadata"]


class ClusterDns:
    """The names of headless Services of proxies; a name of another Service is not known."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._names: FakeDns | None = None
        self._endpoints: Endpoints | None = None

    @property
    def port(self) -> int:
        assert self._names is not None
        return self._names.port

    def watch(self, pod: Object) -> None:
        """Answer for the workers of this proxy's pool. One pool is all that it knows."""
        if self._endpoints is not None:
            return
        meta = pod["metadata"]
        config = self._api.get(
            f"/api/v1/namespaces/{meta['namespace']}/configmaps/"
            f"{pod['spec']['volumes'][0]['configMap']['name']}"
        )
        [line] = [row for row in config["data"]["haproxy.cfg"].splitlines() if SERVERS in row]
        service = line.split()[3].partition(".")[0]
        self._endpoints = Endpoints(self._api, meta["namespace"], service)
        self._names = FakeDns(source=self._endpoints)
        self._names.__enter__()

    def close(self) -> None:
        if self._endpoints is not None and self._names is not None:
            self._names.__exit__()
            self._endpoints.close()
