"""One startup: what is checked before the process, and what is measured after its warm-up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ocrpool.protocol import Problem
from ocrpool_worker.ipc.frames import Frame
from ocrpool_worker.supervisor.managed_instance import ManagedInstance
from ocrpool_worker.supervisor.startup import (
    DeviceUnavailable,
    InstanceStarter,
    ReserveExceedsDevice,
)
from tests.unit.worker.fake_instances import (
    MIB,
    Clock,
    FakeLauncher,
    FakeProcess,
    FakeWatch,
    in_loop,
    no_processes,
    settings,
)

__all__ = ["no_processes"]


class World:
    def __init__(self, kind: str = "cpu", **sections: Any) -> None:
        self.clock = Clock()
        self.watch = FakeWatch(kind)
        self.exits: list[tuple[str, int]] = []
        self.starter = InstanceStarter(
            settings(**sections),
            FakeLauncher(),  # type: ignore[arg-type]
            self.watch,  # type: ignore[arg-type]
            clock=self.clock,
            active_clock=self.clock,
            on_frame=lambda instance, frame: None,
            on_exit=lambda instance, status: self.exits.append((instance.ident, status)),
        )

    async def start(self, *, alone: bool = True) -> tuple[ManagedInstance, FakeProcess]:
        instance = await self.starter.create(alone=alone, instances=1)
        await self.starter.start(instance)
        assert isinstance(instance.process, FakeProcess)
        return instance, instance.process


def ready(**fields: Any) -> Frame:
    return Frame({"op": "ready", "rss": 50 * MIB, "rssPeak": 60 * MIB, "device": None} | fields)


@in_loop
async def test_a_process_gets_its_start_command_and_an_id() -> None:
    world = World()
    first, process = await world.start()
    second, _ = await world.start()
    assert (first.ident, second.ident) == ("i1", "i2")
    assert process.sent == [{"op": "start"}]
    process.exit(3)
    assert world.exits == [("i1", 3)]


@in_loop
async def test_nothing_starts_on_a_lost_device_or_without_memory_beyond_the_reserve() -> None:
    world = World(memory={"reserve": 16384 * MIB})
    with pytest.raises(ReserveExceedsDevice, match=r"memory\.reserve \(16Gi\) leaves nothing"):
        await world.starter.create(alone=True, instances=1)
    world.watch.problem = Problem(reason="DeviceLost", message="GPU is lost")
    with pytest.raises(DeviceUnavailable, match="GPU is lost"):
        await world.starter.create(alone=True, instances=1)


@in_loop
async def test_a_startup_that_takes_too_long_is_killed() -> None:
    world = World(instances={"min": 1, "max": 8, "bootSeconds": 0.02})
    instance, process = await world.start()
    async with asyncio.timeout(20):
        while process.killed_for is None:
            world.clock.now += 0.01
            await asyncio.sleep(0.002)
    assert process.killed_for == "not ready after 0.02 s (instances.bootSeconds)"
    assert instance.startup_problem is not None
    assert instance.startup_problem.reason == "BootTimeout"


@in_loop
async def test_on_a_cpu_the_footprint_is_the_peak_of_the_process() -> None:
    world = World()
    instance, _ = await world.start()
    assert await world.starter.measure(instance, ready())
    assert (instance.memory, instance.memory_source, instance.memory_when_warm) == (
        50 * MIB,
        "rss",
        50 * MIB,
    )
    assert world.starter.footprints.current.bytes == 60 * MIB


@pytest.mark.parametrize(("alone", "footprint"), [(True, 3000 * MIB), (False, 1000 * MIB)])
@in_loop
async def test_on_a_gpu_memory_that_the_device_lost_counts_only_for_a_first_instance(
    alone: bool, footprint: int
) -> None:
    world = World("gpu")
    instance, _ = await world.start(alone=alone)
    world.watch.free -= 3000 * MIB
    assert await world.starter.measure(instance, ready(device=1000 * MIB))
    assert world.starter.footprints.current.bytes == footprint


@in_loop
async def test_an_instance_over_its_cap_is_not_admitted() -> None:
    world = World(memory={"reserve": 0, "perInstance": 40 * MIB})
    instance, process = await world.start()
    assert not await world.starter.measure(instance, ready())
    assert process.killed_for is not None
    assert instance.startup_problem is not None
    assert instance.startup_problem.reason == "InsufficientMemory"
    assert "holds 50Mi after its warm-up" in instance.startup_problem.message


@in_loop
async def test_a_warm_up_page_slower_than_the_time_limit_is_reported() -> None:
    world = World(admission={"timeoutSeconds": 10})
    instance, _ = await world.start()
    await world.starter.measure(instance, ready(pageSeconds=11.0))
    assert world.starter.slow_pages is not None
    assert world.starter.slow_pages.reason == "PagesTooSlow"
    await world.starter.measure(instance, ready(pageSeconds=9.0))
    assert world.starter.slow_pages is None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("memory", "InsufficientMemory"), ("device", "DeviceError"), ("engine", "BootFailed")],
)
@in_loop
async def test_a_reported_failure_has_the_reason_of_its_fault(fault: str, reason: str) -> None:
    world = World()
    instance, _ = await world.start()
    frame = Frame({"op": "failed", "fault": fault, "message": "it says why"})
    world.starter.record_startup_failure(instance, frame)
    assert instance.startup_problem == Problem(reason=reason, message="it says why")


@in_loop
async def test_an_error_of_the_driver_explains_a_failed_startup() -> None:
    world = World()
    problem = Problem(reason="BootFailed", message="cudaErrorUnknown")
    assert world.starter.with_device_problem(problem) == problem
    world.watch.refused = True
    world.watch.problem = Problem(reason="DeviceUnreadable", message="Unknown Error")
    assert world.starter.with_device_problem(problem) == Problem(
        reason="DeviceError", message="Unknown Error; cudaErrorUnknown"
    )
    corrupt = Problem(reason="ModelCorrupt", message="damaged")
    assert world.starter.with_device_problem(corrupt) == corrupt


@in_loop
async def test_free_memory_is_what_is_beyond_the_reserve() -> None:
    world = World(memory={"reserve": 8000 * MIB})
    assert world.starter.has_free_memory(192 * MIB)
    assert not world.starter.has_free_memory(193 * MIB)
