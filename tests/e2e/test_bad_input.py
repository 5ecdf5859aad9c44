"""Invalid input becomes a condition that says what to do, with the real kubelet and scheduler."""

from __future__ import annotations

import json

import pytest

from tests.e2e import pools
from tests.e2e.installs import OPERATOR, Installation
from tools.devcluster.testing import Namespace

pytestmark = pytest.mark.timeout(300, func_only=True)


def test_an_image_that_does_not_exist_is_reported_and_the_next_edit_repairs_it(
    restricted_namespace: Namespace,
) -> None:
    body = pools.fake_engine_pool(template={"image": "localhost/ocrpool/nonesuch:dev"})
    pool = pools.apply(restricted_namespace, body)

    condition = pool.until_reason("Degraded", "ImageNotAvailable")

    assert "localhost/ocrpool/nonesuch:dev" in condition["message"]
    assert "template.image" in condition["message"]
    # The next edit repairs it.
    pools.apply(restricted_namespace, pools.fake_engine_pool())
    pool.until_ready(1)
    assert pool.condition("Degraded")["status"] == "False"


def test_a_gpu_that_no_node_has_is_reported_as_waiting_for_capacity(
    restricted_namespace: Namespace,
) -> None:
    spec = {"device": "gpu", "resourceName": "nvidia.com/mig-1g.10gb"}
    pool = pools.apply(restricted_namespace, pools.fake_engine_pool(**spec))

    condition = pool.until_reason("Degraded", "WaitingForCapacity")

    assert "nvidia.com/mig-1g.10gb" in condition["message"]
    assert pool.condition("Ready")["reason"] == "WaitingForCapacity"


def test_a_folder_without_models_is_reported(restricted_namespace: Namespace) -> None:
    body = pools.real_pool(models={"dir": "/tmp/nothing"})
    pool = pools.apply(restricted_namespace, body)

    condition = pool.until_reason("Degraded", "ModelMissing")

    assert "/tmp/nothing" in condition["message"]


def test_an_instance_larger_than_its_container_is_reported_as_insufficient_memory(
    restricted_namespace: Namespace,
) -> None:
    """The kernel kills each instance during its warm-up; after the third kill the worker gives
    up."""
    resources = {"requests": {"cpu": "100m"}, "limits": {"memory": "768Mi"}}
    pool = pools.apply(restricted_namespace, pools.real_pool(template={"resources": resources}))

    condition = pool.until_reason("Degraded", "InsufficientMemory", seconds=240)

    assert "killed by the kernel, out of memory" in condition["message"]


def test_missing_rights_of_the_operator_are_reported(
    installation: Installation, restricted_namespace: Namespace
) -> None:
    role = json.loads(installation.cluster.kubectl("get", "clusterrole", OPERATOR, "-o", "json"))
    rules = [each for each in role["rules"] if each["resources"] != ["pods"]]
    less = {"op": "replace", "path": "/rules", "value": rules}
    all_of_them = {**less, "value": role["rules"]}
    change = ("patch", "clusterrole", OPERATOR, "--type=json")
    installation.cluster.kubectl(*change, f"--patch={json.dumps([less])}")
    try:
        pool = pools.apply(restricted_namespace, pools.fake_engine_pool())
        condition = pool.until_reason("Degraded", "Forbidden")
        assert "pods" in condition["message"]
        assert "manifests/base/rbac.yaml" in condition["message"]
    finally:
        installation.cluster.kubectl(*change, f"--patch={json.dumps([all_of_them])}")
    pool.until_ready(1)
