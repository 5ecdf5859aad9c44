"""The operator's memory of its workers: when a look counts, what is asked, kept and forgotten."""

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


class Ports(WorkerClient):
    """A stand-in for the workers' control ports: notes what is asked, and does it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.deaf = False

    async def set_target(self, pod: ObservedPod, token: str, target: int) -> WorkerObservation:
        self.asked.append((pod.name, target))
        return (
            WorkerObservation(error="it does not answer")
            if self.deaf
            else WorkerObservation(a_worker(target))
        )


class Posted(EventRecorder):
    """A stand-in for the API server's Events."""

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
class Bench:
    """Instance scaling with a clock that a test sets, a 5 s interval, and fakes around it."""

    now: float = 100.0
    ports: Ports = field(default_factory=Ports)
    posted: Posted = field(default_factory=Posted)
    pool: ObservedPool = field(default_factory=lambda: a_pool(1))

    def __post_init__(self) -> None:
        self.metrics = OperatorMetrics()
        self.scaling = InstanceScaling(
            self.ports, self.posted, self.metrics, interval=5.0, clock=lambda: self.now
        )

    async def look(
        self, *states: State | None, after: float = 5.0, **pod: object
    ) -> InstanceScalingResult:
        """One round, so many seconds after the last, in which the workers say this."""
        self.now += after
        workers = tuple(
            ObservedWorker(a_pod(index, **pod), WorkerObservation(state=said))  # type: ignore[arg-type]
            for index, said in enumerate(states)
        )
        return await self.scaling.scale(self.pool, PoolSnapshot(self.pool, "new", workers, 0.0), "")

    def spec(self, **said: object) -> None:
        spec = PoolSpec.model_validate({"device": "cpu", **said})
        self.pool = replace(self.pool, spec=spec)


pytestmark = pytest.mark.asyncio


async def test_grows_after_two_observations_and_posts_an_event() -> None:
    bench = Bench()
    first = await bench.look(a_worker())
    assert bench.ports.asked == []
    assert first.decisions["pages-0"].reason == "Hold"
    second = await bench.look(a_worker())

    assert bench.ports.asked == [("pages-0", 2)]
    assert bench.posted.lines == [f"Grow pages-0: {second.decisions['pages-0'].sentence}"]
    assert second.decisions["pages-0"].sentence.startswith("1 → 2: headroom 19Gi (20Gi free")
    # What the worker answered is what is reported.
    looked = second.observations["uid-0-new"].state
    assert looked is not None
    assert looked.instances.target == 2
    assert 'ocrpool_operator_decisions_total{reason="Grow"} 1.0' in bench.metrics.render(0).decode()


async def test_rounds_between_two_observations_decide_nothing() -> None:
    bench = Bench()
    await bench.look(a_worker())
    for _ in range(40):
        told = await bench.look(a_worker(), after=0.1)
    assert bench.ports.asked == []
    assert told.decisions["pages-0"].sentence  # still told
    assert bench.scaling.seconds_until_due(bench.pool.key) == pytest.approx(1.0)
    await bench.look(a_worker(), after=1.01)
    assert bench.ports.asked == [("pages-0", 2)]


async def test_new_worker_is_decided_at_once_and_then_with_the_others() -> None:
    bench = Bench()
    bench.spec(replicas=2)
    await bench.look(a_worker())
    assert set((await bench.look(a_worker(), a_worker(), after=4.0)).decisions) == {
        "pages-0",
        "pages-1",
    }
    # One second later it is the pool's time, but the newcomer's device was not looked at again.
    await bench.look(a_worker(), a_worker(), after=1.0)
    assert bench.ports.asked == [("pages-0", 2)]
    await bench.look(a_worker(2), a_worker())
    assert bench.ports.asked == [("pages-0", 2), ("pages-1", 2)]


async def test_target_that_did_not_arrive_is_decided_again() -> None:
    bench = Bench()
    await bench.look(a_worker())
    bench.ports.deaf = True
    said = await bench.look(a_worker())
    assert said.observations["uid-0-new"].error
    assert bench.posted.lines == []
    await bench.look(a_worker(), after=0.1)
    assert len(bench.ports.asked) == 1  # not in a hot loop
    bench.ports.deaf = False
    await bench.look(a_worker())
    assert bench.ports.asked == [("pages-0", 2)] * 2
    assert len(bench.posted.lines) == 1


async def test_new_pod_with_the_same_name_is_a_new_worker() -> None:
    bench = Bench()
    await bench.look(a_worker())
    await bench.look(a_worker(), revision="newer")
    assert bench.ports.asked == []  # its first look
    await bench.look(a_worker(), revision="newer")
    assert bench.ports.asked == [("pages-0", 2)]


async def test_removed_workers_and_pools_are_forgotten() -> None:
    bench = Bench()
    await bench.look(a_worker())
    await bench.look()
    await bench.look(a_worker())
    assert bench.ports.asked == []
    bench.scaling.forget_pool(bench.pool.key)
    await bench.look(a_worker())
    assert bench.ports.asked == []
    assert bench.scaling.seconds_until_due(("default", "unknown")) == 0


async def test_one_failed_observation_forgets_nothing() -> None:
    bench = Bench()
    await bench.look(a_worker())
    await bench.look(None)
    await bench.look(a_worker())
    assert bench.ports.asked == [("pages-0", 2)]


async def test_worker_that_restarted_in_its_pod_cools_down_and_grows_again() -> None:
    """Its old out-of-memory count is not the new process's; what ended it may have been memory."""
    bench = Bench()
    await bench.look(a_worker(2, boots=2))
    await bench.look(a_worker(2, boots=2, oom=1))
    assert bench.ports.asked == [("pages-0", 1)]
    for _ in range(3):
        said = await bench.look(a_worker(1, boots=1))
    assert said.decisions["pages-0"].reason == "CoolDown"
    assert bench.ports.asked == [("pages-0", 1)]
    await bench.look(a_worker(1, boots=1), after=90.0)
    assert bench.ports.asked[1:] == [("pages-0", 2)]


async def test_draining_and_ending_workers_are_left_alone() -> None:
    bench = Bench()
    for _ in range(3):
        said = await bench.look(a_worker(), draining_since=1.0)
    for _ in range(3):
        said = await bench.look(a_worker(), ends_at=1.0)
    assert bench.ports.asked == []
    assert said.decisions == {}


async def test_edit_of_the_spec_is_followed() -> None:
    bench = Bench()
    bench.spec(instances={"min": 3, "max": 4})
    await bench.look(a_worker(1))
    await bench.look(a_worker(2))
    assert bench.ports.asked == [("pages-0", 2), ("pages-0", 3)]
    assert bench.posted.lines[0].startswith("Limits pages-0: 1 → 2: instances.min is 3")
    bench.spec(instances={"min": 1, "max": 2})
    await bench.look(a_worker(3))
    assert bench.ports.asked[2:] == [("pages-0", 2)]
    # More reserve than there is: nothing grows, and it is told.
    bench.spec(instances={"min": 1, "max": 8}, memory={"reserve": "30Gi"})
    for _ in range(3):
        said = await bench.look(a_worker(1))
    assert bench.ports.asked[3:] == []
    assert said.decisions["pages-0"].reason == "InsufficientMemory"
    # More memory for each instance than was measured: planned with at once.
    bench.spec(instances={"min": 1, "max": 8}, memory={"perInstance": "25Gi"})
    for _ in range(3):
        said = await bench.look(a_worker(1))
    assert "24Gi promised" in said.decisions["pages-0"].sentence


async def test_worker_that_gave_up_is_asked_again_with_pauses() -> None:
    """A stranger may have gone, or an image's disk have recovered; nobody else would ask."""
    bench = Bench()
    given_up = state(
        20 * GI,
        each=[],
        footprint=0,
        target=1,
        problem=Problem(reason="InsufficientMemory", message="no room to boot"),
    )
    asked = []
    for _ in range(600):
        before = len(bench.ports.asked)
        await bench.look(given_up)
        if len(bench.ports.asked) > before:
            asked.append(bench.now)
    pauses = [later - earlier for earlier, later in pairwise(asked)]
    assert bench.ports.asked == [("pages-0", 1)] * len(asked)
    assert pauses[:4] == [120, 240, 480, 600]
    assert set(pauses[4:]) == {600}
    assert bench.posted.lines == []
    await bench.look(a_worker())  # it came up: a later failure begins with a minute again
    for _ in range(20):
        await bench.look(given_up)
    assert len(bench.ports.asked) == len(asked) + 1


async def test_restart_pause_begins_when_the_worker_gives_up_again() -> None:
    """Starts that time out can last longer than the pause. Then the worker would get no pause."""
    bench = Bench()
    problem = Problem(reason="BootTimeout", message="not ready within 300 s")
    given_up = state(20 * GI, each=[], footprint=0, target=1, problem=problem)
    starting = state(20 * GI, each=[instance(0, "booting")], footprint=0, target=1)
    requests: list[float] = []

    async def observe(worker: State, seconds: float) -> None:
        end = bench.now + seconds
        while bench.now < end:
            before = len(bench.ports.asked)
            await bench.look(worker)
            requests.extend([bench.now] * (len(bench.ports.asked) - before))

    await observe(given_up, 70)
    assert len(requests) == 1
    for pause in (120, 240):
        await observe(starting, 900)
        gave_up = bench.now
        await observe(given_up, pause)
        await observe(given_up, 10)
        assert requests[-1] - gave_up == pytest.approx(pause, abs=6)
    assert len(requests) == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("reason", ["DeviceError", "DeviceLost", "DeviceUnreadable"])
async def test_worker_with_a_failing_device_is_not_asked_again(reason: str) -> None:
    """Its container must be made anew (test_workers_plan.py); another boot in it mends nothing."""
    bench = Bench()
    problem = Problem(reason=reason, message="Unknown Error")
    for _ in range(300):
        await bench.look(state(20 * GI, each=[], footprint=0, target=1, problem=problem))

    assert bench.ports.asked == []
