"""Waits until a process is ready, and reports why it is not."""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.devcluster.errors import DevClusterError
from tools.devcluster.processes import has_ended


@dataclass(frozen=True)
class Started:
    """A process that was just started, and its log."""

    name: str
    pid: int
    log: Path


@dataclass(frozen=True)
class ApiClient:
    """A minimal client of the API server, for waiting and for creating nodes."""

    server: str
    token: str
    context: ssl.SSLContext

    def get(self, path: str, timeout_s: float = 5.0) -> bytes:
        return self.call("GET", path, timeout_s=timeout_s)

    def call(
        self, method: str, path: str, body: object = None, *, timeout_s: float = 10.0
    ) -> bytes:
        """One call; a PATCH is a JSON merge patch. Raises OSError (an HTTPError is one)."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(
            self.server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind},
        )
        with urllib.request.urlopen(request, timeout=timeout_s, context=self.context) as answer:
            content: bytes = answer.read()
            return content

    def get_json(self, path: str, timeout_s: float = 5.0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get(path, timeout_s))
        return found


def api_of(kubeconfig: Path) -> ApiClient:
    """A client for one of our own kubeconfigs, which are JSON."""
    config = json.loads(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    return ApiClient(cluster["server"], config["users"][0]["user"]["token"], context)


def wait_until(
    is_ready: Callable[[], bool], what: str, started: Started | None, patience_s: float
) -> None:
    """Check every 100 ms. Raises DevClusterError when the process ends or `patience_s` is over."""
    deadline = time.monotonic() + patience_s
    while not is_ready():
        ended = started is not None and has_ended(started.pid)
        if ended or time.monotonic() > deadline:
            verb = "ended" if ended else f"not ready after {patience_s:.0f} s"
            hint = f" ({_last_error(started.log)})" if started else ""
            where = f"The whole log: {started.log}. " if started else ""
            raise DevClusterError(
                f"{what}: {verb}{hint}", f"{where}Clean up with: make cluster-down"
            )
        time.sleep(0.1)


def _last_error(log: Path) -> str:
    """The last error line of a log; a component also prints its help text after wrong flags."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "it left no log"
    errors = [line for line in lines if line[:1] in "EF" or "rror" in line or '"fatal"' in line]
    return (errors or lines or ["it left an empty log"])[-1][:400]


def succeeds(probe: Callable[[], object]) -> bool:
    """Whether the probe succeeds now."""
    try:
        probe()
    except (OSError, urllib.error.URLError, ValueError):
        return False
    return True


def wait_for_etcd(port: int, etcd: Started, patience_s: float) -> None:
    def ask() -> None:
        url = f"http://127.0.0.1:{port}/health"
        with urllib.request.urlopen(url, timeout=2) as answer:
            if json.load(answer).get("health") != "true":
                raise ValueError("etcd has no leader yet")

    wait_until(lambda: succeeds(ask), "etcd", etcd, patience_s)


def wait_for_api(kubeconfig: Path, server: Started, patience_s: float) -> None:
    api = api_of(kubeconfig)
    wait_until(lambda: succeeds(lambda: api.get("/readyz")), "kube-apiserver", server, patience_s)


def wait_for_service_account(kubeconfig: Path, controllers: Started, patience_s: float) -> None:
    api = api_of(kubeconfig)
    path = "/api/v1/namespaces/default/serviceaccounts/default"
    wait_until(
        lambda: succeeds(lambda: api.get(path)), "kube-controller-manager", controllers, patience_s
    )
