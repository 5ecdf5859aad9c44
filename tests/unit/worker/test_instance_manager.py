"""The number of instances, and what the manager does about each event of one."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from ocrpool.protocol import Problem
from ocrpool_worker.devices.oom import OomKills
from ocrpool_worker.errors import ModelError
from ocrpool_worker.ipc.frames import ChannelBroken, Frame
from ocrpool_worker.supervisor import failure_rules, stopping
from ocrpool_worker.supervisor.exit_reason import ExitReason
from ocrpool_worker.supervisor.instance_manager import InstanceManager
from ocrpool_worker.supervisor.lifecycle import LifecycleState, Trigger
from ocrpool_worker.supervisor.managed_instance import ManagedInstance
from ocrpool_worker.supervisor.requests import AcceptedRequest, RequestSpec, WorkItem
from ocrpool_worker.supervisor.state_report import new_counters
from tests.unit.worker.fake_instances import (
    MIB,
    Clock,
    FakeLauncher,
    FakeProcess,
    FakeWatch,
    in_loop,
    no_processes,
    settings,
    settle,
)

__all__ = ["no_processes"]


@dataclass
class Events:
    """Records what the dispatcher would get."""

    progressed: list[WorkItem] = field(default_factory=list)
    answered: list[WorkItem] = field(default_factory=list)
    lost: list[tuple[WorkItem, ExitReason]] = field(default_factory=list)

    def dispatch(self) -> None: ...

    def on_progress(self, item: WorkItem) -> None:
        self.progressed.append(item)

    def on_answer(self, instance: ManagedInstance, item: WorkItem, frame: Frame) -> None:
        assert instance.item is None
        self.answered.append(item)

    def on_exit(self, instance: ManagedInstance, item: WorkItem, exit_reason: ExitReason) -> None:
        self.lost.append((item, exit_reason))


class World:
    """A manager and everything around it."""

    def __init__(self, target: int = 1, **sections: Any) -> None:
        self.clock = Clock()
        self.events = Events()
        self.watch = FakeWatch()
        self.launcher = FakeLauncher()
        self.counters = new_counters()
        self.manager = InstanceManager(
            settings(**sections),
            self.launcher,  # type: ignore[arg-type]
            self.events,
            self.counters,
            target=target,
            clock=self.clock,
            active_clock=self.clock,
            watch=self.watch,  # type: ignore[arg-type]
        )

    def __getitem__(self, ident: str) -> ManagedInstance:
        return self.manager.instances[ident]

    def process(self, ident: str) -> FakeProcess:
        process = self[ident].process
        assert isinstance(process, FakeProcess)
        return process

    @property
    def states(self) -> dict[str, str]:
        return {ident: str(one.state) for ident, one in self.manager.instances.items()}

    async def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.manager.reconcile()
        await settle()

    async def warm_up(self, count: int) -> World:
        """Let `count` instances start, one after the other."""
        self.manager.reconcile()
        for _ in range(count):
            await settle()
            (starting,) = (
                one
                for one in self.manager.instances.values()
                if one.state is LifecycleState.STARTING
            )
            self.clock.now += 1
            self.process(starting.ident).report("ready")
            await settle()
        return self

    def assign(self, ident: str) -> WorkItem:
        """Give it a page, as the dispatcher does."""
        item = WorkItem(AcceptedRequest(RequestSpec("image"), b"x", 0.0), "read", None, 0.0)
        instance = self[ident]
        instance.command_number += 1
        instance.process.send({"op": "read", "number": instance.command_number})
        self.manager.assign(instance, item)
        return item


# -- the number of instances ---------------------------------------------------------------


@in_loop
async def test_instances_start_one_at_a_time_up_to_the_target() -> None:
    world = World(target=3)
    world.manager.reconcile()
    await settle()
    assert world.states == {"i1": "starting"}
    assert world.manager.starting == 1
    world.process("i1").report("ready")
    await settle()
    assert world.states == {"i1": "idle", "i2": "starting"}
    world.process("i2").report("ready")
    await settle()
    world.process("i3").report("ready")
    await settle()
    assert world.states == {"i1": "idle", "i2": "idle", "i3": "idle"}
    assert world.launcher.prepared == [3, 3, 3], "each gets its share of the cores"
    assert world.counters["boots"] == 3


@in_loop
async def test_a_smaller_target_retires_the_newest_idle_instance() -> None:
    world = await World(target=3).warm_up(3)
    world.assign("i3")
    world.manager.set_target(2)
    assert world.states == {"i1": "idle", "i2": "stopping", "i3": "busy"}
    assert world.process("i2").hung_up
    world.process("i2").exit(0)
    assert world.states == {"i1": "idle", "i3": "busy"}
    assert world.counters["deaths"] == 0


@in_loop
async def test_a_busy_instance_finishes_its_page_before_it_exits() -> None:
    world = await World(target=1).warm_up(1)
    item = world.assign("i1")
    world.manager.set_target(0)
    assert world.states == {"i1": "draining"}
    world.process("i1").report("done")
    assert world.states == {"i1": "stopping"}
    assert world.events.answered == [item]


@in_loop
async def test_a_retired_instance_that_does_not_exit_in_time_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stopping, "_EXIT_SECONDS", 0.01)
    world = await World(target=2).warm_up(2)
    world.assign("i1")
    world.manager.set_target(0)
    world.process("i1").report("done")
    for _ in range(3000):
        if set(world.states.values()) == {"killed"}:
            break
        world.clock.now += 0.01
        await asyncio.sleep(0.005)
    assert world.states == {"i1": "killed", "i2": "killed"}
    assert world.process("i1").killed_for == (
        "it did not end within 0.01 s (0 instances are wanted)"
    )


@in_loop
async def test_a_retired_starting_instance_is_killed_and_is_no_failed_startup() -> None:
    world = World(target=1)
    world.manager.reconcile()
    await settle()
    world.manager.set_target(0)
    assert world.states == {"i1": "killed"}
    assert world.process("i1").killed_for == "0 instances are wanted"
    world.process("i1").exit()
    assert world.counters["boot_failures"] == 0
    assert world.counters["deaths"] == 0


@in_loop
async def test_an_instance_that_exits_is_replaced_after_a_pause() -> None:
    world = await World(target=1).warm_up(1)
    world.process("i1").exit(-signal.SIGSEGV)
    await settle()
    assert world.states == {}, "it exited before it answered anything"
    assert world.counters["deaths"] == 1
    assert world.manager.last_exit is not None
    assert world.manager.last_exit.why == "killed by SIGSEGV"
    await world.pass_time(0.5)
    assert world.states == {"i2": "starting"}


@in_loop
async def test_an_instance_that_had_answered_is_replaced_at_once() -> None:
    world = await World(target=1).warm_up(1)
    world.assign("i1")
    world.process("i1").report("done")
    world.process("i1").exit(-signal.SIGSEGV)
    await settle()
    assert world.states == {"i2": "starting"}


# -- work ----------------------------------------------------------------------------------


@in_loop
async def test_an_answer_makes_an_instance_idle_and_counts() -> None:
    world = await World().warm_up(1)
    item = world.assign("i1")
    assert world.states == {"i1": "busy"}
    world.clock.now += 2.5
    world.process("i1").report("done")
    assert world.states == {"i1": "idle"}
    assert world.events.answered == [item]
    assert (world.counters["pages"], world.counters["page_seconds"]) == (1, 2.5)
    assert world["i1"].memory == 50 * MIB


@in_loop
async def test_progress_is_passed_on_at_a_limited_rate() -> None:
    world = await World().warm_up(1)
    item = world.assign("i1")
    process = world.process("i1")
    process.report("progress")
    with pytest.raises(ChannelBroken, match="progress"):
        process.report("progress")
    assert world.events.progressed == [item]


@in_loop
async def test_an_answer_that_nobody_asked_for_is_not_accepted() -> None:
    world = await World().warm_up(1)
    with pytest.raises(ChannelBroken, match="no command"):
        world.process("i1").report("done")


@in_loop
async def test_an_exit_gives_the_work_item_back_and_keeps_its_seconds() -> None:
    world = await World().warm_up(1)
    item = world.assign("i1")
    world.clock.now += 4
    world.process("i1").exit(-signal.SIGABRT)
    ((lost, reason),) = world.events.lost
    assert lost is item
    assert reason.cause == "own"
    assert world.counters["page_seconds"] == 4


@pytest.mark.parametrize(
    ("end", "cause", "deaths", "killed"),
    [
        (lambda world: None, "outside", 1, 1),
        (lambda world: world.manager.kill(world["i1"], "it hangs"), "worker", 1, 0),
    ],
    ids=["another process", "the supervisor"],
)
@in_loop
async def test_a_killed_instance_counts_once(
    end: Callable[[World], None], cause: str, deaths: int, killed: int
) -> None:
    world = await World().warm_up(1)
    world.assign("i1")
    end(world)
    world.process("i1").exit(-signal.SIGKILL)
    ((_, reason),) = world.events.lost
    assert reason.cause == cause
    assert (world.counters["deaths"], world.counters["killed"]) == (deaths, killed)


@in_loop
async def test_is_alone_unless_another_instance_can_take_its_work() -> None:
    world = await World(target=2).warm_up(1)
    assert not world.manager.is_alone(world["i1"]), "another one is starting"
    world.manager.set_target(1)
    assert world.manager.is_alone(world["i1"])
    world = await World(target=2).warm_up(2)
    assert not world.manager.is_alone(world["i1"])
    world.process("i2").stopped = True
    world.manager.detect_stopped()
    assert world.manager.is_alone(world["i1"]), "a stopped one may stay stopped"


# -- replacement ---------------------------------------------------------------------------


@in_loop
async def test_the_only_instance_is_replaced_once_its_successor_is_warm() -> None:
    world = await World(recycle={"afterRequests": 1, "memoryGrowth": 0}).warm_up(1)
    world.assign("i1")
    world.process("i1").report("done")
    await settle()
    assert world.states == {"i1": "idle", "i2": "starting"}
    world.process("i2").report("ready")
    await settle()
    assert world.states == {"i1": "stopping", "i2": "idle"}
    assert world["i1"].retire_reason == "it answered 1 pages (recycle.afterRequests 1)"
    world.process("i1").exit(0)
    await settle()
    assert world.states == {"i2": "idle"}
    assert world.counters["recycled"] == 1


@in_loop
async def test_nothing_more_starts_when_the_replaced_instance_exits_by_itself() -> None:
    world = await World(recycle={"afterRequests": 1, "memoryGrowth": 0}).warm_up(1)
    world.assign("i1")
    world.process("i1").report("done")
    await settle()
    assert world.states == {"i1": "idle", "i2": "starting"}
    world.process("i1").exit(-signal.SIGSEGV)
    await settle()
    world.process("i2").report("ready")
    await settle()
    assert world.states == {"i2": "idle"}


@in_loop
async def test_the_only_instance_is_retired_first_where_memory_is_short() -> None:
    world = await World(recycle={"afterRequests": 1, "memoryGrowth": 0}).warm_up(1)
    world.watch.free = 10 * MIB
    world.assign("i1")
    world.process("i1").report("done")
    await settle()
    assert world.states == {"i1": "stopping"}


@in_loop
async def test_worn_instances_are_replaced_one_at_a_time() -> None:
    world = await World(target=3, recycle={"afterRequests": 1, "memoryGrowth": 0}).warm_up(3)
    for ident in ("i1", "i2"):
        world.assign(ident)
        world.process(ident).report("done")
    await settle()
    assert world.states == {"i1": "stopping", "i2": "idle", "i3": "idle"}
    world.process("i1").exit(0)
    await settle()
    assert world.states == {"i2": "idle", "i3": "idle", "i4": "starting"}
    world.process("i4").report("ready")
    await settle()
    assert world.states == {"i2": "stopping", "i3": "idle", "i4": "idle"}


# -- memory --------------------------------------------------------------------------------


@in_loop
async def test_out_of_memory_lowers_the_ceiling_until_a_cool_down_is_over() -> None:
    world = await World(target=3).warm_up(3)
    world.manager.on_out_of_memory(world["i3"])
    assert (world.manager.ceiling.value, world.manager.desired) == (2, 2)
    world.manager.reconcile()
    assert sorted(world.states.values()) == ["idle", "idle", "stopping"]
    world.process("i3").exit(0)
    await world.pass_time(failure_rules.CEILING_COOLDOWN - 1)
    assert len(world.states) == 2
    await world.pass_time(1)
    assert world.states == {"i1": "idle", "i2": "idle", "i4": "starting"}


@in_loop
async def test_a_kill_that_the_kernel_counted_lowers_the_ceiling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await World(target=2).warm_up(2)
    monkeypatch.setattr(OomKills, "claim", lambda self: True)
    world.process("i1").exit(-signal.SIGKILL)
    assert world.manager.ceiling.value == 1
    assert world.counters["out_of_memory"] == 1


@in_loop
async def test_critically_low_memory_costs_the_newest_instance_one_at_a_time() -> None:
    world = await World(target=3).warm_up(3)
    world["i2"].created_at += 1000
    world.manager.relieve_memory()
    assert world.states == {"i1": "idle", "i2": "stopping", "i3": "idle"}
    world.manager.relieve_memory()
    assert sorted(world.states.values()) == ["idle", "idle", "stopping"]
    world.process("i2").exit(0)
    world.manager.relieve_memory()
    world.manager.relieve_memory()
    assert world.counters["memory_guard_stops"] == 2
    world.process("i3").exit(0)
    world.manager.relieve_memory()
    assert world.states == {"i1": "idle"}, "the only one stays"


# -- stopped instances ---------------------------------------------------------------------


@in_loop
async def test_an_idle_instance_that_stays_stopped_is_replaced() -> None:
    world = await World(admission={"timeoutSeconds": 10}).warm_up(1)
    world.process("i1").stopped = True
    world.manager.on_device_snapshot(world.watch.latest())
    assert world.manager.ready == 0
    assert world.states == {"i1": "idle"}
    world.clock.now += 10
    world.manager.on_device_snapshot(world.watch.latest())
    assert world.states["i1"] == "killed"
    assert world.process("i1").killed_for == (
        "it was stopped (SIGSTOP) for 10 s (admission.timeoutSeconds)"
    )


@in_loop
async def test_an_instance_that_is_continued_in_time_stays() -> None:
    world = await World(admission={"timeoutSeconds": 10}).warm_up(1)
    world.process("i1").stopped = True
    world.manager.on_device_snapshot(world.watch.latest())
    world.process("i1").stopped = False
    world.clock.now += 10
    world.manager.on_device_snapshot(world.watch.latest())
    assert (world.states, world.manager.ready) == ({"i1": "idle"}, 1)


# -- failed startups -----------------------------------------------------------------------


@in_loop
async def test_three_failed_startups_end_the_attempts_until_the_next_target() -> None:
    world = World()
    world.manager.reconcile()
    for number in (1, 2, 3):
        await settle()
        world.process(f"i{number}").exit(-signal.SIGILL)
        await world.pass_time(60)
    assert world.states == {}
    problem = world.manager.startup_backoff.problem
    assert problem == Problem(
        reason="BootFailed",
        message="the instance was killed by SIGILL while it started: its last line",
    )
    assert world.counters["boot_failures"] == 3
    world.manager.set_target(1)
    await settle()
    assert world.states == {"i4": "starting"}


@in_loop
async def test_a_first_startup_whose_engine_reports_an_error_is_not_tried_again() -> None:
    world = World()
    world.manager.reconcile()
    await settle()
    world.process("i1").report("failed", fault="engine", message="no such language")
    world.process("i1").exit(3)
    problem = world.manager.startup_backoff.problem
    assert problem == Problem(reason="BootFailed", message="no such language")


@in_loop
async def test_a_startup_without_memory_lowers_the_ceiling_where_others_are_warm() -> None:
    world = await World(target=3).warm_up(2)
    await settle()
    world.process("i3").report("failed", fault="memory", message="out of memory")
    world.process("i3").exit(3)
    assert world.manager.startup_backoff.problem is None
    assert world.manager.ceiling.value == 2


@in_loop
async def test_an_instance_over_its_memory_cap_is_killed_after_its_warm_up() -> None:
    world = World(memory={"reserve": 0, "perInstance": 10 * MIB})
    world.manager.reconcile()
    await settle()
    world.process("i1").report("ready")
    await settle()
    assert "memory.perInstance" in (world.process("i1").killed_for or "")
    world.process("i1").exit()
    assert world.counters["boots"] == 0
    assert world.counters["boot_failures"] == 1


@in_loop
async def test_no_room_for_a_process_is_tried_for_ever_once_one_was_ready() -> None:
    world = await World(target=1).warm_up(1)
    world.process("i1").exit(-signal.SIGTERM)
    FakeProcess.start_error = OSError(24, "Too many open files")
    for _ in range(5):
        await world.pass_time(60)
    assert world.counters["boot_failures"] == 5
    assert world.manager.startup_backoff.problem is None
    FakeProcess.start_error = None
    await world.pass_time(60)
    assert list(world.states.values()) == ["starting"]


@in_loop
async def test_damaged_model_files_end_the_attempts_with_their_own_reason() -> None:
    world = World()
    world.launcher.error = ModelError("ModelCorrupt", "det/inference.json is damaged")
    for _ in range(3):
        await world.pass_time(60)
    problem = world.manager.startup_backoff.problem
    assert problem == Problem(reason="ModelCorrupt", message="det/inference.json is damaged")


@in_loop
async def test_a_lost_device_postpones_startups_and_is_no_failure() -> None:
    world = World()
    world.watch.problem = Problem(reason="DeviceLost", message="GPU is lost")
    await world.pass_time(0)
    await world.pass_time(4)
    assert (world.launcher.prepared, world.counters["boot_failures"]) == ([], 0)
    world.watch.problem = None
    await world.pass_time(1)
    assert world.states == {"i1": "starting"}


@in_loop
async def test_a_reserve_of_the_whole_device_ends_the_attempts_at_once() -> None:
    world = World(memory={"reserve": 16384 * MIB})
    await world.pass_time(0)
    problem = world.manager.startup_backoff.problem
    assert problem is not None
    assert problem.reason == "InsufficientMemory"
    assert "memory.reserve" in problem.message


@in_loop
async def test_startups_begin_again_when_the_driver_answers_again() -> None:
    world = World()
    world.watch.refused = True
    world.watch.problem = Problem(reason="DeviceUnreadable", message="Unknown Error")
    world.manager.reconcile()
    for number in (1, 2, 3):
        await settle()
        world.process(f"i{number}").exit(-signal.SIGSEGV)
        world.manager.on_device_snapshot(world.watch.latest())
        await world.pass_time(60)
    problem = world.manager.startup_backoff.problem
    assert problem is not None
    assert problem.reason == "DeviceError"
    assert problem.message.startswith("Unknown Error; ")
    world.watch.refused, world.watch.problem = False, None
    world.manager.on_device_snapshot(world.watch.latest())
    await settle()
    assert world.states == {"i4": "starting"}


# -- the end, and bugs ---------------------------------------------------------------------


@in_loop
async def test_close_kills_busy_instances_and_asks_idle_ones_to_exit() -> None:
    world = await World(target=2).warm_up(2)
    world.assign("i1")
    busy, idle = world.process("i1"), world.process("i2")

    idle.hang_up = lambda: idle.exit(0)  # type: ignore[method-assign]

    def kill(why: str) -> None:
        busy.killed_for = busy.killed_for or why
        if not busy.ended:
            busy.exit(-signal.SIGKILL)

    busy.kill = kill  # type: ignore[method-assign]
    await world.manager.close()
    assert world.states == {}
    assert world.counters["deaths"] == 0
    world.manager.reconcile()
    await settle()
    assert world.states == {}, "nothing starts any more"


@in_loop
async def test_an_illegal_transition_is_logged_and_costs_the_process(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = await World().warm_up(1)
    item = world.assign("i1")
    world["i1"].apply(Trigger.READY, world.clock())
    assert world.states == {"i1": "killed"}
    assert world.process("i1").killed_for == "i1: ready is not allowed while busy"
    (record,) = [one for one in caplog.records if one.message == "illegal state transition"]
    assert record.exc_info is not None, "tests with real workers fail at any traceback in a log"
    world.process("i1").exit()
    assert [lost for lost, _ in world.events.lost] == [item], "its page is given back"
