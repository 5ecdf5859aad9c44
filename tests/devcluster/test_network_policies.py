"""The node enforces NetworkPolicies: other pods get no answer, kubelet probes still work."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.devcluster.pods import PORT, await_ready, pod, run_python
from tools.devcluster.testing import Cluster, Namespace

pytestmark = pytest.mark.usefixtures("node")
CONTROL = 8081
CALL = """
import socket
with socket.socket() as call:
    call.settimeout(2)
    try:
        call.connect(("{address}", {port}))
        print("answers")
    except OSError:
        print("does not")
"""


@pytest.fixture
def elsewhere(node: Cluster) -> Iterator[Namespace]:
    """Another namespace, with a label of its own."""
    own = Namespace(node, f"test-{secrets.token_hex(4)}")
    node.kubectl("create", "namespace", own.name)
    node.kubectl("label", "namespace", own.name, "role=operators")
    yield own
    node.kubectl("delete", "namespace", own.name, "--wait=false")


def _policy(name: str, *rules: dict[str, Any]) -> dict[str, Any]:
    """A policy with these ingress rules for the pods `server`."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": {"matchLabels": {"app": "server"}},
            "policyTypes": ["Ingress"],
            "ingress": list(rules),
        },
    }


def _server() -> dict[str, Any]:
    """A pod with a data port and a control port."""
    made = pod("server")
    control = dict(made["spec"]["containers"][0], name="control")
    del control["readinessProbe"]
    control["command"] = ["python3", "-m", "http.server", str(CONTROL)]
    made["spec"]["containers"].append(control)
    return made


def _answers(namespace: Namespace, caller: str, address: str, port: int) -> bool:
    return run_python(namespace, caller, CALL.format(address=address, port=port)) == "answers"


def _until(namespace: Namespace, caller: str, address: str, port: int, expected: bool) -> None:
    """Wait until the rules follow a policy or a pod."""
    deadline = time.monotonic() + 30
    while _answers(namespace, caller, address, port) is not expected:
        assert time.monotonic() < deadline, f"{port} of the server: still not {expected}"
        time.sleep(0.2)


def test_only_allowed_pods_reach_the_control_port(
    namespace: Namespace, elsewhere: Namespace
) -> None:
    namespace.apply(_server())
    namespace.apply(pod("neighbour"))
    elsewhere.apply(pod("operator"))
    elsewhere.apply(pod("other"))
    await_ready(namespace, "server", "neighbour")
    await_ready(elsewhere, "operator", "other")
    address = namespace.get("pod", "server")["status"]["podIP"]
    assert _answers(elsewhere, "other", address, CONTROL), "without a policy every pod has access"

    operators = {
        "namespaceSelector": {"matchLabels": {"role": "operators"}},
        "podSelector": {"matchLabels": {"app": "operator"}},
    }
    namespace.apply(
        _policy(
            "server",
            {"ports": [{"port": PORT}]},
            {"ports": [{"port": CONTROL}], "from": [operators]},
        )
    )

    _until(elsewhere, "other", address, CONTROL, False)
    assert not _answers(namespace, "neighbour", address, CONTROL)
    assert _answers(elsewhere, "operator", address, CONTROL)
    for where, caller in ((elsewhere, "other"), (namespace, "neighbour")):
        assert _answers(where, caller, address, PORT)


def test_a_policy_that_denies_all_keeps_probes_and_can_be_removed(namespace: Namespace) -> None:
    namespace.apply(_server())
    namespace.apply(pod("neighbour"))
    await_ready(namespace, "server", "neighbour")
    address = namespace.get("pod", "server")["status"]["podIP"]

    namespace.apply(_policy("deny"))
    _until(namespace, "neighbour", address, PORT, False)

    # Three failed probes, a second apart, would make it unready.
    seen_until = time.monotonic() + 5
    while time.monotonic() < seen_until:
        conditions = namespace.get("pod", "server")["status"]["conditions"]
        assert next(each for each in conditions if each["type"] == "Ready")["status"] == "True"
        time.sleep(0.5)
    namespace.kubectl("delete", "networkpolicy", "deny")
    _until(namespace, "neighbour", address, PORT, True)


def test_the_policy_applies_to_later_pods(namespace: Namespace) -> None:
    namespace.apply(_policy("deny"))
    namespace.apply(pod("neighbour"))
    namespace.apply(_server())
    await_ready(namespace, "neighbour", "server")

    _until(namespace, "neighbour", namespace.get("pod", "server")["status"]["podIP"], PORT, False)
