"""The fake cluster-autoscaler does what tests rely on. kwok provides nodes and pods."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.operator.api import Api
from tests.operator.autoscaler import GPU, SAFE, Autoscaler
from tools.devcluster.kwok import TOLERATION, Kwok
from tools.devcluster.testing import Cluster, Namespace


@pytest.fixture
def autoscaler(kwok: Kwok, control_plane: Cluster, namespace: Namespace) -> Iterator[Autoscaler]:
    def add() -> str:
        return kwok.add(1, gpus=4)[0]

    api = Api(control_plane.kubeconfig)
    with Autoscaler(
        api, namespace.name, add, lambda node: kwok.remove([node]), most=2, gpus=4
    ) as found:
        yield found
        assert not found.errors


def _pod(name: str, gpus: int, safe: str = "true") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "test"}, "annotations": {SAFE: safe}},
        "spec": {
            "tolerations": [TOLERATION],
            "containers": [
                {"name": "main", "image": "none", "resources": {"limits": {GPU: str(gpus)}}}
            ],
        },
    }


def _ready(namespace: Namespace, *names: str) -> None:
    pods = (f"pod/{name}" for name in names)
    namespace.kubectl("wait", "--for=condition=Ready", *pods, "--timeout=60s", timeout_s=70)


def _until(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_waiting_gpu_pods_add_nodes_up_to_the_maximum(
    autoscaler: Autoscaler, namespace: Namespace
) -> None:
    for name in ("a", "b", "c"):
        namespace.apply(_pod(name, gpus=4))

    _until(lambda: len(autoscaler.nodes) == 2, "no two nodes came")
    _until(lambda: _running(namespace) == 2, "the nodes were not filled")
    # It decides every 0.2 s: it would have asked for more nodes by now.
    time.sleep(1)
    assert [what for what, _ in autoscaler.done] == ["add", "add"]


def test_empty_node_is_removed(autoscaler: Autoscaler, namespace: Namespace) -> None:
    namespace.apply(_pod("a", gpus=4))
    _ready(namespace, "a")

    namespace.kubectl("delete", "pod", "a")

    _until(lambda: not autoscaler.nodes, "the node stayed")
    assert [what for what, _ in autoscaler.done] == ["add", "remove"]


def test_pod_moves_only_if_annotation_and_disruption_budget_allow_it(
    autoscaler: Autoscaler, namespace: Namespace
) -> None:
    """A pod on the second node requests one of four GPUs; the first node has a free one."""
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "all"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "test"}}},
    }
    namespace.apply(budget)
    namespace.apply(_pod("big", gpus=3, safe="false"))
    _ready(namespace, "big")
    namespace.apply(_pod("filler", gpus=1, safe="false"))
    _ready(namespace, "filler")
    namespace.apply(_pod("small", gpus=1, safe="false"))
    _ready(namespace, "small")
    namespace.kubectl("delete", "pod", "filler")
    nodes = list(autoscaler.nodes)
    time.sleep(autoscaler.idle_seconds + 1)
    assert autoscaler.nodes == nodes, "the pod is not evictable"

    namespace.kubectl("annotate", "--overwrite", "pod", "small", f"{SAFE}=true")
    _until(lambda: _is_cordoned(namespace, nodes[1]), "the node was not taken out of use")
    assert namespace.get("pod", "small")["spec"]["nodeName"] == nodes[1], (
        "its disruption budget forbids it"
    )

    namespace.kubectl("delete", "poddisruptionbudget", "all")
    _until(lambda: autoscaler.nodes == nodes[:1], "the node stayed")
    assert autoscaler.done[-2:] == [("evict", "small"), ("remove", nodes[1])]


def _running(namespace: Namespace) -> int:
    return sum(each["status"]["phase"] == "Running" for each in namespace.get("pods")["items"])


def _is_cordoned(namespace: Namespace, node: str) -> bool:
    return bool(namespace.cluster.get("node", node)["spec"].get("unschedulable"))
