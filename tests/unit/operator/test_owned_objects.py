"""When the objects of a pool are written, and when not."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ocrpool.planner.observed import PoolProblem
from ocrpool_operator.cluster.cache import PoolCache
from ocrpool_operator.cluster.client import CONFIG_MAPS
from ocrpool_operator.manifests.metadata import metadata_for
from ocrpool_operator.reconcile.guarded_call import GuardedCalls
from ocrpool_operator.reconcile.owned_objects import OwnedObjects
from tests.unit.operator.fake_objects import FakeObjects
from tests.unit.planner.pools import a_pool

pytestmark = pytest.mark.asyncio

POOL = a_pool()


@dataclass
class Setup:
    server: FakeObjects = field(default_factory=FakeObjects)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.cache = PoolCache()
        self.owned_objects = OwnedObjects(
            self.cache,
            self.server.client,
            GuardedCalls(lambda: self.now),
            clock=lambda: self.now,
            domain="cluster.local",
        )

    async def ensure(self) -> list[PoolProblem]:
        return await self.owned_objects.ensure(POOL, evict=True, has_secret=True)


async def test_missing_objects_are_created_once() -> None:
    setup = Setup()
    assert not setup.owned_objects.has_settings(POOL)
    for _ in range(2):
        assert await setup.ensure() == []
    assert sorted(setup.server.writes) == [
        "create ConfigMap pages-settings",
        "create PodDisruptionBudget pages",
        "create Service pages",
    ]
    assert setup.owned_objects.has_settings(POOL)


async def test_an_object_that_is_no_longer_desired_is_deleted() -> None:
    setup = Setup()
    old = {"kind": "ConfigMap", "metadata": metadata_for(POOL, "pages-proxy")}
    setup.cache.put_owned_object("ConfigMap", await setup.server.create(CONFIG_MAPS, old))
    assert await setup.ensure() == []
    assert "delete ConfigMap pages-proxy" in setup.server.writes
    assert setup.cache.owned_object("ConfigMap", "default", "pages-proxy") is None


async def test_a_refused_deletion_is_reported_in_every_round_and_tried_after_its_pause() -> None:
    setup = Setup()
    old = {"kind": "ConfigMap", "metadata": metadata_for(POOL, "pages-proxy")}
    setup.cache.put_owned_object("ConfigMap", await setup.server.create(CONFIG_MAPS, old))
    call = "delete ConfigMap pages-proxy"
    setup.server.refused[call] = 403
    for _ in range(3):
        assert [each.reason for each in await setup.ensure()] == ["Forbidden"]
    assert setup.server.writes.count(call) == 1
    setup.server.refused.clear()
    setup.now += 60
    assert await setup.ensure() == []
    assert setup.server.writes.count(call) == 2


async def test_a_foreign_object_with_the_name_is_reported_until_the_name_is_free() -> None:
    setup = Setup()
    foreign = {"kind": "Service", "metadata": {"name": "pages", "namespace": "default"}}
    setup.server.objects["Service", "pages"] = foreign
    for _ in range(2):
        [problem] = await setup.ensure()
        assert (problem.reason, problem.blocks) == ("NameTaken", True)
    assert setup.server.writes.count("create Service pages") == 1
    del setup.server.objects["Service", "pages"]
    assert await setup.ensure() == []
