"""Simulated nodes: add them, stop their heartbeats, remove them."""

from __future__ import annotations

import secrets
import time
import urllib.error
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from tools.devcluster.errors import DevClusterError
from tools.devcluster.fakegpu.device import RESOURCE
from tools.devcluster.layout import Folder
from tools.devcluster.waiting import ApiClient, api_of

KEY = "kwok.x-k8s.io/node"
LABEL = f"{KEY}=fake"
# Only pods with this toleration run here; others wait, as without these nodes.
TOLERATION = {"key": KEY, "operator": "Exists"}
CALLS_AT_ONCE = 8
PATIENCE_S = 60.0


def node_named(name: str, *, gpus: int, labels: Mapping[str, str]) -> dict[str, Any]:
    """The Node object as a kubelet would register it; kwok adds the rest."""
    has = {"cpu": "64", "memory": "512Gi", "pods": "110"}
    if gpus:
        has[RESOURCE] = str(gpus)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                KEY: "fake",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                **labels,
            },
        },
        "spec": {"taints": [{"key": KEY, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"capacity": has, "allocatable": has},
    }


@dataclass(frozen=True)
class Kwok:
    """The nodes of one cluster on which kwok runs (`tools.devcluster.kwok.start`)."""

    folder: Folder
    added: list[str] = field(default_factory=list)

    @property
    def _api(self) -> ApiClient:
        return api_of(self.folder.kubeconfig)

    def add(
        self,
        count: int,
        *,
        gpus: int = 0,
        labels: Mapping[str, str] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> list[str]:
        """Add nodes with new names and wait until they are Ready. Returns the names.

        Each node has 64 cores, 512 GiB, capacity for 110 pods, and `gpus` of nvidia.com/gpu. Raises
        DevClusterError where they do not become Ready.
        """
        api = self._api
        # kwok still holds the lease of a node that was just removed, so a used name would not work.
        batch = secrets.token_hex(3)
        names = [f"kwok-{batch}-{number}" for number in range(count)]

        def create(name: str) -> None:
            node = node_named(name, gpus=gpus, labels=labels or {})
            api.call("POST", "/api/v1/nodes", node, timeout_s=PATIENCE_S)

        self.added.extend(names)
        _side_by_side(create, names)
        deadline = time.monotonic() + patience_s
        while missing := set(names) - self.ready():
            if time.monotonic() > deadline:
                raise DevClusterError(
                    f"{len(missing)} of {count} simulated nodes are not Ready "
                    f"after {patience_s:.0f} s",
                    f"See {self.folder.log('kwok')}",
                )
            time.sleep(0.2)
        return names

    def ready(self) -> set[str]:
        """The names of the simulated nodes that are Ready."""
        path = f"/api/v1/nodes?labelSelector={LABEL}"
        found = self._api.get_json(path, timeout_s=PATIENCE_S)["items"]
        return {
            each["metadata"]["name"]
            for each in found
            for condition in each["status"].get("conditions", ())
            if condition["type"] == "Ready" and condition["status"] == "True"
        }

    def silence(self, names: Iterable[str]) -> None:
        """Stop the heartbeats of these nodes and their pods, as when machines are lost.

        The controllers mark them NotReady (after 50 s) and evict their pods (300 s later).
        """
        api = self._api
        without = {"metadata": {"labels": {KEY: None}}}
        _side_by_side(lambda name: api.call("PATCH", f"/api/v1/nodes/{name}", without), names)

    def remove(self, names: Iterable[str]) -> None:
        """Delete the Node objects, as a cloud controller does for lost machines."""
        api = self._api

        def delete(name: str) -> None:
            try:
                api.call("DELETE", f"/api/v1/nodes/{name}")
            except urllib.error.HTTPError as error:
                if error.code != HTTPStatus.NOT_FOUND:
                    raise

        _side_by_side(delete, names)


def _side_by_side(call: Callable[[str], object], names: Iterable[str]) -> None:
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        list(pool.map(call, names))
