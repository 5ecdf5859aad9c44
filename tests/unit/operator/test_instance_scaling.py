"""When the operator decides for a worker, what it asks of it, and what it remembers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from ocrpool.planner.observed import (
    ObservedPod,
    ObservedPool,
    ObservedWorker,
    PoolSnapshot,
    WorkerObservation,
)
from ocrpool.protocol import Counters, Problem, State
from ocrpool.resource.spec import PoolSpec
from ocrpool_operator.cluster.events import EventRecorder
from ocrpool_operator.cluster.worker_client import WorkerClient
from ocrpool_operator.metrics import OperatorMetrics
from ocrpool_operator.reconcile.instance_scaling import InstanceScaling, InstanceScalingResult
from tests.states import GI, instance, state
from tests.unit.planner.pools import a_pod, a_pool


class FakeWorkers(WorkerClient):
    """Fake control ports of the workers: they record what is asked, and do it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.unreachable = False

    async def set_target(self, pod: ObservedPod, token: str, target: int) -> WorkerObservation:
        self.asked.append((pod.name, target))
        return (
            WorkerObservation(error="it does not answer")
            if self.unreachable
            else WorkerObservation(a_worker(target))
        )


class FakeEvents(EventRecorder):
    """A fake event recorder."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def post(
        self, pool: ObservedPool, reason: str, message: str, *, warning: bool = False
    ) -> None:
        self.lines.append(f"{reason} {message}")


def a_worker(count: int = 1, *, free: int = 20 * GI, boots: int = 1, oom: int = 0) -> State:
    return state(
        free,
        each=[instance()] * count,
        counters=Counters(boots=boots, out_of_memory=oom),
    )


@dataclass
class ScalingSetup:
    """Instance scaling with a clock that a test sets, a 5 s interval, and fakes around it."""

    now: float = 100.0
    workers: FakeWorkers = field(default_factory=FakeWorkers)
    events: FakeEvents = field(default_factory=FakeEvents)
    pool: ObservedPool = field(default_factory=lambda: a_pool(1))

    def __post_init__(self) -> None:
        self.metrics = OperatorMetrics()
        self.scaling = InstanceScaling(
            self.workers, self.events, self.metrics, interval=5.0, clock=lambda: self.now
        )

    async def observe(
        self, *states: State | None, after: float = 5.0, **pod: object
    ) -> InstanceScalingResult:
        """Run one round, `after` seconds after the last, in which the workers have these states."""
        self.now += after
        workers = tuple(
            ObservedWorker(a_pod(index, **pod), WorkerObservation(state=state))  # type: ignore[arg-type]
            for index, state in enumerate(states)
        )
        return await self.scaling.scale(self.pool, PoolSnapshot(self.pool, "new", workers, 0.0), "")

    def spec(self, **fields: object) -> None:
        spec = PoolSpec.model_validate({"device": "cpu", **fields})
        self.pool = replace(self.pool, spec=spec)


pytestmark = pytest.mark.asyncio


async def test_grows_after_two_observations_and_posts_an_event() -> None:
    setup = ScalingSetup()
    first = await setup.observe(a_worker())
    assert setup.workers.asked == []
    assert first.decisions["pages-0"].reason == "Hold"
    second = await setup.observe(a_worker())

    assert setup.workers.asked == [("pages-0", 2)]
    assert setup.events.lines == [f"Grow pages-0: {second.decisions['pages-0'].sentence}"]
    assert second.decisions["pages-0"].sentence.startswith("1 → 2: headroom 19Gi (20Gi free")
    # The result has what the worker answered.
    looked = second.observations["uid-0-new"].state
    assert looked is not None
    assert looked.instances.target == 2
    assert 'ocrpool_operator_decisions_total{reason="Grow"} 1.0' in setup.metrics.render(0).decode()


async def test_rounds_between_two_observations_decide_nothing() -> None:
    setup = ScalingSetup()
    await setup.observe(a_worker())
    for _ in range(40):
        result = await setup.observe(a_worker(), after=0.1)
    assert setup.workers.asked == []
    assert result.decisions["pages-0"].sentence  # still reported
    assert setup.scaling.seconds_until_due(setup.pool.key) == pytest.approx(1.0)
    await setup.observe(a_worker(), after=1.01)
    assert setup.workers.asked == [("pages-0", 2)]


async def test_new_worker_is_decided_at_once_and_then_with_the_others() -> None:
    setup = ScalingSetup()
    setup.spec(replicas=2)
    await setup.observe(a_worker())
    assert set((await setup.observe(a_worker(), a_worker(), after=4.0)).decisions) == {
        "pages-0",
        "pages-1",
    }
    # One second later the pool is due, but the new worker has not measured its device again.
    await setup.observe(a_worker(), a_worker(), after=1.0)
    assert setup.workers.asked == [("pages-0", 2)]
    await setup.observe(a_worker(2), a_worker())
    assert setup.workers.asked == [("pages-0", 2), ("pages-1", 2)]


async def test_target_that_did_not_arrive_is_decided_again() -> None:
    setup = ScalingSetup()
    await setup.observe(a_worker())
    setup.workers.unreachable = True
    result = await setup.observe(a_worker())
    assert result.observations["uid-0-new"].error
    assert setup.events.lines == []
    await setup.observe(a_worker(), after=0.1)
    assert len(setup.workers.asked) == 1  # not in a hot loop
    setup.workers.unreachable = False
    await setup.observe(a_worker())
    assert setup.workers.asked == [("pages-0", 2)] * 2
    assert len(setup.events.lines) == 1


async def test_new_pod_with_the_same_name_is_a_new_worker() -> None:
    setup = ScalingSetup()
    await setup.observe(a_worker())
    await setup.observe(a_worker(), revision="newer")
    assert setup.workers.asked == []  # its first observation
    await setup.observe(a_worker(), revision="newer")
    assert setup.workers.asked == [("pages-0", 2)]


async def test_removed_workers_and_pools_are_forgotten() -> None:
    setup = ScalingSetup()
    await setup.observe(a_worker())
    await setup.observe()
    await setup.observe(a_worker())
    assert setup.workers.asked == []
    setup.scaling.forget_pool(setup.pool.key)
    await setup.observe(a_worker())
    assert setup.workers.asked == []
    assert setup.scaling.seconds_until_due(("default", "unknown")) == 0


async def test_one_failed_observation_forgets_nothing() -> None:
    setup = ScalingSetup()
    await setup.observe(a_worker())
    await setup.observe(None)
    await setup.observe(a_worker())
    assert setup.workers.asked == [("pages-0", 2)]


async def test_worker_that_restarted_in_its_pod_cools_down_and_grows_again() -> None:
    """The new process counts out-of-memory errors from 0. Memory may have ended the old one."""
    setup = ScalingSetup()
    await setup.observe(a_worker(2, boots=2))
    await setup.observe(a_worker(2, boots=2, oom=1))
    assert setup.workers.asked == [("pages-0", 1)]
    for _ in range(3):
        result = await setup.observe(a_worker(1, boots=1))
    assert result.decisions["pages-0"].reason == "CoolDown"
    assert setup.workers.asked == [("pages-0", 1)]
    await setup.observe(a_worker(1, boots=1), after=90.0)
    assert setup.workers.asked[1:] == [("pages-0", 2)]


async def test_draining_and_ending_workers_are_left_alone() -> None:
    setup = ScalingSetup()
    for _ in range(3):
        result = await setup.observe(a_worker(), draining_since=1.0)
    for _ in range(3):
        result = await setup.observe(a_worker(), ends_at=1.0)
    assert setup.workers.asked == []
    assert result.decisions == {}


async def test_edit_of_the_spec_is_followed() -> None:
    setup = ScalingSetup()
    setup.spec(instances={"min": 3, "max": 4})
    await setup.observe(a_worker(1))
    await setup.observe(a_worker(2))
    assert setup.workers.asked == [("pages-0", 2), ("pages-0", 3)]
    assert setup.events.lines[0].startswith("Limits pages-0: 1 → 2: instances.min is 3")
    setup.spec(instances={"min": 1, "max": 2})
    await setup.observe(a_worker(3))
    assert setup.workers.asked[2:] == [("pages-0", 2)]
    # A reserve larger than the device: nothing grows, and the reason is reported.
    setup.spec(instances={"min": 1, "max": 8}, memory={"reserve": "30Gi"})
    for _ in range(3):
        result = await setup.observe(a_worker(1))
    assert setup.workers.asked[3:] == []
    assert result.decisions["pages-0"].reason == "InsufficientMemory"
    # A larger memory.perInstance than was measured is used at once.
    setup.spec(instances={"min": 1, "max": 8}, memory={"perInstance": "25Gi"})
    for _ in range(3):
        result = await setup.observe(a_worker(1))
    assert "24Gi promised" in result.decisions["pages-0"].sentence


async def test_worker_that_gave_up_is_asked_again_with_pauses() -> None:
    """The cause may be gone, such as another process on the GPU. Nobody else would ask again."""
    setup = ScalingSetup()
    given_up = state(
        20 * GI,
        each=[],
        footprint=0,
        target=1,
        problem=Problem(reason="InsufficientMemory", message="no room to boot"),
    )
    asked = []
    for _ in range(600):
        before = len(setup.workers.asked)
        await setup.observe(given_up)
        if len(setup.workers.asked) > before:
            asked.append(setup.now)
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert setup.workers.asked == [("pages-0", 1)] * len(asked)
    assert pauses[:4] == [120, 240, 480, 600]
    assert set(pauses[4:]) == {600}
    assert setup.events.lines == []
    await setup.observe(a_worker())  # it started: the next failure begins with a pause of a minute
    for _ in range(20):
        await setup.observe(given_up)
    assert len(setup.workers.asked) == len(asked) + 1


async def test_restart_pause_begins_when_the_worker_gives_up_again() -> None:
    """Starts that time out can last longer than the pause. Then the worker would get no pause."""
    setup = ScalingSetup()
    problem = Problem(reason="BootTimeout", message="not ready within 300 s")
    given_up = state(20 * GI, each=[], footprint=0, target=1, problem=problem)
    starting = state(20 * GI, each=[instance(0, "booting")], footprint=0, target=1)
    requests: list[float] = []

    async def observe(worker: State, seconds: float) -> None:
        end = setup.now + seconds
        while setup.now < end:
            before = len(setup.workers.asked)
            await setup.observe(worker)
            requests.extend([setup.now] * (len(setup.workers.asked) - before))

    await observe(given_up, 70)
    assert len(requests) == 1
    for pause in (120, 240):
        await observe(starting, 900)
        gave_up = setup.now
        await observe(given_up, pause)
        await observe(given_up, 10)
        assert requests[-1] - gave_up == pytest.approx(pause, abs=6)
    assert len(requests) == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", ["DeviceError", "DeviceLost", "DeviceUnreadable"])
async def test_worker_with_a_failing_device_is_not_asked_again(reason: str) -> None:
    """It needs a new container (test_workers_plan.py). A restart in the same one does not help."""
    setup = ScalingSetup()
    problem = Problem(reason=reason, message="Unknown Error")
    for _ in range(300):
        await setup.observe(state(20 * GI, each=[], footprint=0, target=1, problem=problem))

    assert setup.workers.asked == []
