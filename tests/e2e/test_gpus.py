"""A pool on the two fake GPUs of the node, with a fake driver and a fake engine."""

from __future__ import annotations

import pytest

from tests.e2e import pools
from tests.e2e.pools import GIB, LivePool
from tools.devcluster.testing import Namespace, handle

pytestmark = [
    pytest.mark.timeout(300, func_only=True),
    pytest.mark.skipif(handle.existing() is not None, reason="of our own node only"),
]


@pytest.fixture
def pool(restricted_namespace: Namespace) -> LivePool:
    return pools.apply(restricted_namespace, pools.fake_engine_pool(device="gpu", replicas=2))


def test_each_worker_has_its_own_gpu_and_a_third_worker_waits(
    restricted_namespace: Namespace, pool: LivePool
) -> None:
    gpus = {gpu.uuid: gpu for gpu in restricted_namespace.cluster.gpus}
    body = pool.until_ready(2)

    workers = body["status"]["workers"]
    assert {worker["device"]["uuid"] for worker in workers} == set(gpus)
    for worker in workers:
        own = gpus[worker["device"]["uuid"]]
        assert worker["memory"]["total"] == own.total
        assert own.charges == [2 * GIB]
        assert worker["footprint"] >= 2 * GIB
    check = pools.expect_text("320x200")
    assert not check(pools.post_page(f"{pool.url()}/v1/ocr", pools.blank()))

    pool.patch(replicas=3)
    condition = pool.until_reason("Degraded", "WaitingForCapacity")
    assert "nvidia.com/gpu" in condition["message"]
    assert pool.body["status"]["readyReplicas"] == 2

    pool.patch(replicas=1)
    pool.until_ready(1)
    assert list(pool.pods) == ["pages-0"]
    assert sorted(len(gpu.charges) for gpu in gpus.values()) == [0, 1]
    assert pool.condition("Degraded")["reason"] == "AsExpected"
