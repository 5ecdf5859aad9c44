"""The fixture `control_plane` is a real API server with its controllers and scheduler."""

from __future__ import annotations

import json
import time

import pytest

from tools.devcluster.build.parts import KUBERNETES
from tools.devcluster.testing import Cluster, Namespace, handle

WIDGET = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.devcluster.test"},
    "spec": {
        "group": "devcluster.test",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgets"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "min": {"type": "integer", "default": 1},
                                    "max": {"type": "integer"},
                                },
                                "x-kubernetes-validations": [
                                    {
                                        "rule": "self.min <= self.max",
                                        "message": "min must not be above max",
                                    }
                                ],
                            }
                        },
                    }
                },
            }
        ],
    },
}


def _config_map(name: str, owner: dict[str, str] | None = None) -> dict[str, object]:
    owners = [] if owner is None else [owner]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": owners},
    }


def _widget(name: str, **spec: int) -> dict[str, object]:
    return {
        "apiVersion": "devcluster.test/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.fixture
def widgets(control_plane: Cluster) -> None:
    control_plane.kubectl("apply", "--filename=-", manifest=WIDGET)
    control_plane.wait_for_crds("widgets.devcluster.test")


@pytest.mark.skipif(handle.existing() is not None, reason="that cluster has a version of its own")
def test_the_api_server_reports_its_version(control_plane: Cluster) -> None:
    answer = json.loads(control_plane.kubectl("version", "--output=json"))

    assert answer["serverVersion"]["gitVersion"] == KUBERNETES


@pytest.mark.usefixtures("widgets")
def test_schema_defaults_and_cel_rules_work(namespace: Namespace) -> None:
    namespace.apply(_widget("good", max=2))
    with pytest.raises(AssertionError, match="min must not be above max"):
        namespace.apply(_widget("bad", min=3, max=2))

    assert namespace.get("widget", "good")["spec"]["min"] == 1


@pytest.mark.usefixtures("controllers")
def test_owned_objects_are_garbage_collected(namespace: Namespace) -> None:
    namespace.apply(_config_map("owner"))
    uid = namespace.get("configmap", "owner")["metadata"]["uid"]
    namespace.apply(
        _config_map("owned", {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid})
    )

    namespace.kubectl("delete", "configmap", "owner")

    namespace.kubectl("wait", "--for=delete", "configmap/owned", "--timeout=30s")


@pytest.mark.usefixtures("controllers")
def test_a_service_account_has_only_the_rights_of_its_role(namespace: Namespace) -> None:
    namespace.kubectl("create", "serviceaccount", "reader")
    namespace.kubectl("create", "role", "reads", "--verb=get", "--resource=configmaps")
    namespace.kubectl(
        "create",
        "rolebinding",
        "reads",
        "--role=reads",
        f"--serviceaccount={namespace.name}:reader",
    )
    token = namespace.kubectl("create", "token", "reader").strip()

    def may(verb: str) -> bool:
        as_reader = f"--as=system:serviceaccount:{namespace.name}:reader"
        try:
            namespace.kubectl("auth", "can-i", verb, "configmaps", as_reader)
        except AssertionError:
            return False
        return True

    assert token.count(".") == 2
    assert may("get")
    assert not may("delete")


@pytest.mark.usefixtures("controllers")
@pytest.mark.skipif(handle.existing() is not None, reason="that cluster may have nodes")
def test_the_scheduler_reports_why_a_pod_waits(namespace: Namespace) -> None:
    container = {"name": "main", "image": "none"}
    namespace.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "waits"},
            "spec": {"containers": [container]},
        }
    )

    deadline = time.monotonic() + 20
    while not (conditions := namespace.get("pod", "waits")["status"].get("conditions")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert conditions[0]["reason"] == "Unschedulable"
    assert "no nodes available" in conditions[0]["message"]
