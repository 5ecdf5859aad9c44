"""A stand-in for the cluster-autoscaler, whose Go module is not to be had where this was written.

It does what the real one does for pods that ask for GPUs, by the same signals and nothing else:

- up: a pod that the scheduler calls Unschedulable and that asks for GPUs → a node, up to `most`;
- down: a node of its own whose GPUs are asked for by less than half (the real one's
  --scale-down-gpu-utilization-threshold), whose pods may all be evicted (a pod that no controller
  of Kubernetes owns needs `safe-to-evict: "true"`) and have room elsewhere, for `idle_seconds` →
  cordoned, its pods evicted by the eviction API, which honours PodDisruptionBudgets, and removed.

It looks at one namespace, since tests share a cluster. No node groups to choose from, no
cool-downs, no estimates of prices, one node away at a time.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.operator.api import Api, Object, Refused

SAFE = "cluster-autoscaler.kubernetes.io/safe-to-evict"
GPU = "nvidia.com/gpu"
THRESHOLD = 0.5
LOOK_S = 0.2
# Owners whose pods are made again elsewhere, so that they need no word of their own.
REPLICATED = ("ReplicaSet", "StatefulSet", "Job", "ReplicationController")


@dataclass
class Autoscaler:
    """Use as a context manager. `add` starts a machine and returns its node's name once the Node
    is there; `remove` takes the machine away, with its Node."""

    api: Api
    namespace: str
    add: Callable[[], str]
    remove: Callable[[str], None]
    most: int
    gpus: int = 1
    idle_seconds: float = 2.0
    nodes: list[str] = field(default_factory=list)
    # What it did: ("add" | "evict" | "remove", the node's or the pod's name).
    done: list[tuple[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _unneeded: dict[str, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Autoscaler:
        self._thread = threading.Thread(target=self._run, name="autoscaler", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()
        for node in list(self.nodes):
            self.remove(node)

    @property
    def _pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self._round()
            except Refused as error:
                if error.status not in (404, 409):
                    self.errors.append(str(error))
            except OSError:
                pass  # the API server is away

    def _round(self) -> None:
        pods = [each for each in self.api.get(self._pods)["items"] if _is_live(each)]
        wanted = sum(_gpus_of(each) for each in pods if _is_unschedulable(each))
        free = {node: self.gpus - _asked(pods, node) for node in self.nodes}
        # A node that has just come takes those that wait: there is no need for another one.
        lacking = wanted - sum(free.values())
        if wanted and lacking > 0 and len(self.nodes) < self.most:
            node = self.add()
            self.nodes.append(node)
            self.done.append(("add", node))
            return
        self._look_for_unneeded(pods, free, quiet=not wanted)

    def _look_for_unneeded(self, pods: list[Object], free: dict[str, int], *, quiet: bool) -> None:
        now = time.monotonic()
        for node in list(self.nodes):
            on_it = [each for each in pods if each["spec"].get("nodeName") == node]
            room = sum(count for other, count in free.items() if other != node)
            is_unneeded = (
                quiet
                and (self.gpus - free[node]) / self.gpus < THRESHOLD
                and all(_may_be_evicted(each) for each in on_it)
                and sum(_gpus_of(each) for each in on_it) <= room
            )
            since = self._unneeded.setdefault(node, now) if is_unneeded else now
            if not is_unneeded:
                if self._unneeded.pop(node, None) is not None:
                    self._cordon(node, False)
            elif now - since >= self.idle_seconds:
                self._empty(node, on_it)
                return

    def _empty(self, node: str, pods: list[Object]) -> None:
        """One step a round: what a budget refuses is tried again in the next."""
        self._cordon(node, True)
        for pod in pods:
            if "deletionTimestamp" in pod["metadata"]:
                continue  # evicted already, on its way out
            name = pod["metadata"]["name"]
            body = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": name, "namespace": self.namespace},
            }
            with contextlib.suppress(Refused):  # 429: a PodDisruptionBudget says not now
                self.api.call("POST", f"{self._pods}/{name}/eviction", body)
                self.done.append(("evict", name))
        if pods:
            return
        self._unneeded.pop(node, None)
        self.remove(node)
        self.done.append(("remove", node))
        # Last: a test that waits for the node to go reads `done` next.
        self.nodes.remove(node)

    def _cordon(self, node: str, yes: bool) -> None:
        self.api.merge(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": yes or None}})


def _is_live(pod: Object) -> bool:
    return pod["status"].get("phase") not in ("Succeeded", "Failed")


def _is_unschedulable(pod: Object) -> bool:
    return "nodeName" not in pod["spec"] and any(
        each["type"] == "PodScheduled" and each.get("reason") == "Unschedulable"
        for each in pod["status"].get("conditions", ())
    )


def _gpus_of(pod: Object) -> int:
    containers = pod["spec"]["containers"]
    return sum(int(each["resources"].get("requests", {}).get(GPU, "0")) for each in containers)


def _asked(pods: list[Object], node: str) -> int:
    return sum(_gpus_of(each) for each in pods if each["spec"].get("nodeName") == node)


def _may_be_evicted(pod: Object) -> bool:
    said = pod["metadata"].get("annotations", {}).get(SAFE)
    owners = {each["kind"] for each in pod["metadata"].get("ownerReferences", ())}
    return said == "true" or (said is None and bool(owners & set(REPLICATED)))
