"""What comes of the actions of a plan: done, gone, changed by others, or refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from ocrpool.planner.observed import ObservedPool
from ocrpool.planner.workers.plan import CreatePod, DeletePod, WorkerAction, WorkerPlan
from ocrpool_operator.cluster.cache import PoolCache
from ocrpool_operator.cluster.client import ApiError
from ocrpool_operator.cluster.events import EventRecorder
from ocrpool_operator.reconcile.guarded_call import GuardedCalls
from ocrpool_operator.reconcile.plan_executor import ActionResults, PlanExecutor
from tests.unit.operator.fake_objects import FakeObjects
from tests.unit.planner.pools import a_pod, a_pool, a_seen

pytestmark = pytest.mark.asyncio

POOL = a_pool(3)
DELETE = DeletePod(a_pod(0), "its container ended", failed=True)


class FakeEvents(EventRecorder):
    """Keeps the Events that are posted."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def post(
        self, pool: ObservedPool, reason: str, message: str, *, warning: bool = False
    ) -> None:
        self.lines.append(f"{reason} {message}")


@dataclass
class Setup:
    server: FakeObjects = field(default_factory=FakeObjects)
    events: FakeEvents = field(default_factory=FakeEvents)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.cache = PoolCache()
        self.executor = PlanExecutor(
            self.cache,
            self.server.client,
            cast(Any, None),
            self.events,
            guarded=GuardedCalls(lambda: self.now),
            now=lambda: self.now,
        )

    async def execute(self, *actions: WorkerAction) -> ActionResults:
        return await self.executor.execute(POOL, a_seen(POOL), WorkerPlan(actions), "token")


async def test_created_pods_are_cached_and_one_event_reports_all_of_them() -> None:
    setup = Setup()
    done = await setup.execute(CreatePod("pages-0", "new"), CreatePod("pages-1", "new"))

    assert done.changed
    assert done.problems == ()
    assert {pod.name for pod in setup.cache.pods(POOL.key)} == {"pages-0", "pages-1"}
    assert setup.events.lines == ["WorkerCreated pages-0, pages-1: new"]


async def test_a_pod_that_is_gone_is_neither_done_nor_a_problem() -> None:
    setup = Setup()
    done = await setup.execute(DELETE)

    assert not done.changed
    assert done.problems == ()
    assert done.failures == {}
    assert setup.events.lines == []


async def test_a_conflict_is_no_problem_and_asks_for_another_round() -> None:
    setup = Setup()
    setup.server.refused["delete Pod pages-0"] = 409
    done = await setup.execute(DELETE)

    assert done.changed
    assert done.problems == ()
    assert done.failures == {}


async def test_only_a_deletion_that_was_done_counts_as_a_failure_of_the_place() -> None:
    setup = Setup()
    setup.server.objects["Pod", "pages-0"] = {}
    setup.server.refused["delete Pod pages-0"] = 403
    assert (await setup.execute(DELETE)).failures == {}
    setup.server.refused.clear()
    setup.now += 60
    assert (await setup.execute(DELETE)).failures["pages-0"].times == 1
    assert setup.events.lines == ["WorkerDeleted pages-0: its container ended"]


async def test_a_refused_action_is_reported_in_every_round_and_tried_after_its_pause() -> None:
    setup = Setup()
    setup.server.refused["create Pod pages-0"] = 403
    for _ in range(3):
        done = await setup.execute(CreatePod("pages-0", "new"), CreatePod("pages-1", "new"))
        assert [each.reason for each in done.problems] == ["Forbidden"]
        setup.server.objects.pop(("Pod", "pages-1"))
    assert setup.server.writes.count("create Pod pages-0") == 1
    assert setup.server.writes.count("create Pod pages-1") == 3


async def test_an_unavailable_api_server_is_raised_after_all_actions_were_tried() -> None:
    setup = Setup()
    setup.server.refused["create Pod pages-0"] = 503
    with pytest.raises(ApiError):
        await setup.execute(CreatePod("pages-0", "new"), CreatePod("pages-1", "new"))
    assert setup.events.lines == ["WorkerCreated pages-1: new"]


async def test_a_foreign_pod_with_the_name_is_reported_until_the_name_is_free() -> None:
    setup = Setup()
    setup.server.objects["Pod", "pages-0"] = {"metadata": {"name": "pages-0"}}
    for _ in range(2):
        done = await setup.execute(CreatePod("pages-0", "new"))
        assert [each.reason for each in done.problems] == ["NameTaken"]
    assert len(setup.server.writes) == 1
    del setup.server.objects["Pod", "pages-0"]
    assert (await setup.execute(CreatePod("pages-0", "new"))).problems == ()
