"""Simulated nodes: the real scheduler uses them, and kwok reports their pods as running."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from typing import Any

from tools.devcluster.fakegpu.device import RESOURCE
from tools.devcluster.kwok import TOLERATION, Kwok
from tools.devcluster.settings import load
from tools.devcluster.testing import Cluster, Namespace


def _pod(name: str, *, gpus: int = 0, tolerates: bool = True, **metadata: Any) -> dict[str, Any]:
    limits = {RESOURCE: str(gpus)} if gpus else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {
            "tolerations": [TOLERATION] if tolerates else [],
            "containers": [{"name": "main", "image": "none", "resources": {"limits": limits}}],
        },
    }


def _until(look: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def _is_unschedulable(namespace: Namespace, name: str) -> bool:
    conditions = namespace.get("pod", name)["status"].get("conditions", ())
    return any(each.get("reason") == "Unschedulable" for each in conditions)


def test_pods_run_until_all_gpus_are_used(kwok: Kwok, namespace: Namespace) -> None:
    nodes = kwok.add(2, gpus=1)

    for name in ("a", "b"):
        namespace.apply(_pod(name, gpus=1))
    namespace.kubectl("wait", "--for=condition=Ready", "pod/a", "pod/b", "--timeout=60s")
    namespace.apply(_pod("c", gpus=1))
    _until(lambda: _is_unschedulable(namespace, "c"), "the third pod was scheduled")

    pods = [namespace.get("pod", name) for name in ("a", "b")]
    assert {each["spec"]["nodeName"] for each in pods} == set(nodes)
    assert all(each["status"]["containerStatuses"][0]["ready"] for each in pods)


def test_each_pod_has_an_address_of_its_own_on_loopback(kwok: Kwok, namespace: Namespace) -> None:
    kwok.add(1)
    for name in ("a", "b"):
        namespace.apply(_pod(name))
    namespace.kubectl("wait", "--for=condition=Ready", "pod/a", "pod/b", "--timeout=60s")

    addresses = [
        ipaddress.IPv4Address(namespace.get("pod", name)["status"]["podIP"]) for name in ("a", "b")
    ]

    settings = load(kwok.folder)
    assert settings is not None
    assert len(set(addresses)) == 2
    assert all(each in settings.network.simulated_pods for each in addresses)
    assert all(each.is_loopback for each in addresses)


def test_a_deleted_pod_ends_and_waits_for_its_finalizers(kwok: Kwok, namespace: Namespace) -> None:
    kwok.add(1)
    namespace.apply(_pod("plain"))
    namespace.apply(_pod("held", finalizers=["devcluster.test/hold"]))
    namespace.kubectl("wait", "--for=condition=Ready", "pod/plain", "pod/held", "--timeout=60s")

    namespace.kubectl("delete", "pod", "plain", "held", "--wait=false")

    namespace.kubectl("wait", "--for=delete", "pod/plain", "--timeout=60s")
    assert "deletionTimestamp" in namespace.get("pod", "held")["metadata"]
    no_finalizers = '{"metadata": {"finalizers": null}}'
    namespace.kubectl("patch", "pod", "held", "--type=merge", f"--patch={no_finalizers}")
    namespace.kubectl("wait", "--for=delete", "pod/held", "--timeout=60s")


def test_pods_without_the_toleration_are_not_scheduled(kwok: Kwok, namespace: Namespace) -> None:
    kwok.add(1)

    namespace.apply(_pod("other", tolerates=False))

    _until(
        lambda: _is_unschedulable(namespace, "other"), "the pod was scheduled on a simulated node"
    )


def test_a_silent_node_becomes_not_ready(kwok: Kwok, control_plane: Cluster) -> None:
    quiet, other = kwok.add(2)

    kwok.silence([quiet])

    control_plane.kubectl(
        "wait", "--for=condition=Ready=Unknown", f"node/{quiet}", "--timeout=110s", timeout_s=120
    )
    assert kwok.ready() == {other}
