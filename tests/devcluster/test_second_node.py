"""A second node joins a running cluster: its pods are reachable, and a drain moves pods to it."""

from __future__ import annotations

from typing import Any

from tests.devcluster.pods import PORT, await_ready, pod, run_python, service
from tools.devcluster.fakegpu.device import RESOURCE
from tools.devcluster.testing import Cluster, Namespace


def _on(node: str, name: str) -> dict[str, Any]:
    found = pod(name)
    found["spec"]["nodeName"] = node
    return found


def _first(node: Cluster, second: str) -> str:
    names = [each["metadata"]["name"] for each in node.get("nodes")["items"]]
    return next(each for each in names if each != second)


def _says(namespace: Namespace, caller: str, address: str) -> str:
    """The pod that answers a call from another pod. It tries for a while, because kube-proxy on
    the caller's node may not know a new Service yet."""
    code = (
        "import time, urllib.request as u\n"
        "for left in reversed(range(15)):\n"
        "    try:\n"
        f"        print(u.urlopen('http://{address}/', timeout=2).read().decode())\n"
        "        break\n"
        "    except OSError:\n"
        "        if not left: raise\n"
        "        time.sleep(1)\n"
    )
    return run_python(namespace, caller, code)


def test_pods_on_two_nodes_reach_each_other(
    node: Cluster, second_node: str, namespace: Namespace
) -> None:
    namespace.apply(_on(_first(node, second_node), "here"))
    namespace.apply(_on(second_node, "there"))
    namespace.apply(service("proxy", "there"))
    await_ready(namespace, "here", "there")
    here, there = (namespace.get("pod", name)["status"]["podIP"] for name in ("here", "there"))

    assert "there" in _says(namespace, "here", f"{there}:{PORT}")
    assert "here" in _says(namespace, "there", f"{here}:{PORT}")
    assert "there" in _says(namespace, "here", f"proxy.{namespace.name}.svc.cluster.local")


def test_the_second_node_has_its_own_gpus(node: Cluster, second_node: str) -> None:
    found = node.get("node", second_node)

    assert found["status"]["allocatable"][RESOURCE] == "2"


def test_a_drained_pod_moves_to_the_other_node(
    node: Cluster, second_node: str, namespace: Namespace
) -> None:
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod("web")["spec"]},
        },
    }
    node.kubectl("cordon", _first(node, second_node))
    try:
        namespace.apply(deployment)
        namespace.kubectl("rollout", "status", "deployment/web", "--timeout=60s", timeout_s=70)
        where = {each["spec"]["nodeName"] for each in namespace.get("pods")["items"]}
        assert where == {second_node}
    finally:
        node.kubectl("uncordon", _first(node, second_node))

    node.kubectl("drain", second_node, "--ignore-daemonsets", "--force", "--timeout=60s")

    namespace.kubectl("rollout", "status", "deployment/web", "--timeout=60s", timeout_s=70)
    pods = [
        each
        for each in namespace.get("pods")["items"]
        if "deletionTimestamp" not in each["metadata"]
    ]
    assert {each["spec"]["nodeName"] for each in pods} == {_first(node, second_node)}
