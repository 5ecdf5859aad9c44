"""Observing a device without waiting for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection

from ocrpool.protocol import Memory, Problem
from ocrpool_worker.devices.snapshot import DeviceIdentity, DeviceSnapshot
from ocrpool_worker.devices.watch import REFUSED_SECONDS, STALE_SECONDS, DeviceWatch


class Probe:
    """A stand-in for a device whose driver can hang."""

    def __init__(self) -> None:
        self.free = 7
        self.answers = threading.Event()
        self.answers.set()

    def identity(self) -> DeviceIdentity:
        return DeviceIdentity("gpu", "stand-in")

    def observe(self, pids: Collection[int] = ()) -> DeviceSnapshot:
        self.answers.wait(30)
        return DeviceSnapshot(Memory(total=10, used=10 - self.free, free=self.free))


def test_every_snapshot_is_reported_and_the_latest_kept() -> None:
    async def scenario() -> None:
        probe, seen = Probe(), asyncio.Queue[DeviceSnapshot]()
        watch = DeviceWatch(probe, clock=lambda: 0.0, interval=0.001)
        watch.start(seen.put_nowait)
        first = await seen.get()
        assert first.memory is not None
        probe.free = 3
        while (await seen.get()).memory != Memory(total=10, used=7, free=3):
            pass
        assert watch.latest().memory == Memory(total=10, used=7, free=3)
        await watch.stop()

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_a_hanging_driver_is_reported_and_blocks_nobody() -> None:
    async def scenario() -> None:
        now = 0.0
        probe = Probe()
        watch = DeviceWatch(probe, clock=lambda: now)
        await watch.observe()
        probe.answers.clear()
        looking = asyncio.ensure_future(watch.observe())
        await asyncio.sleep(0)
        now = STALE_SECONDS + 1
        look = watch.latest()
        assert look.memory is None, "a figure this old is not to be planned with"
        assert look.problem is not None
        assert "has not answered for 11 s" in look.problem.message
        probe.answers.set()
        assert (await looking).memory is not None
        await watch.stop()

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_concurrent_observations_are_made_once() -> None:
    async def scenario() -> None:
        watch = DeviceWatch(Probe(), clock=lambda: 0.0)
        looks = await asyncio.gather(*(watch.observe() for _ in range(5)))
        assert len({id(look) for look in looks}) == 1
        await watch.stop()

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_a_driver_that_refuses_for_long_is_a_device_error() -> None:
    refusal = Problem(reason="DeviceUnreadable", message="Unknown Error")
    lost = Problem(reason="DeviceLost", message="GPU is lost")

    async def scenario() -> None:
        now, look = 100.0, DeviceSnapshot(problem=refusal, refused=True)

        class Refusing(Probe):
            def observe(self, pids: Collection[int] = ()) -> DeviceSnapshot:
                return look

        def reason() -> str | None:
            problem = watch.latest().problem
            return problem.reason if problem is not None else None

        watch = DeviceWatch(Refusing(), clock=lambda: now)
        await watch.observe()
        assert reason() == "DeviceUnreadable", "it may be a hiccup"
        now += REFUSED_SECONDS
        await watch.observe()
        assert reason() == "DeviceError"
        problem = watch.latest().problem
        assert problem is not None
        assert problem.message.startswith("Unknown Error; ")
        assert "create the container again" in problem.message

        look = DeviceSnapshot(problem=lost, refused=True)
        await watch.observe()
        assert reason() == "DeviceLost", "that comes back without a new container"
        look = DeviceSnapshot(Memory(total=10, used=3, free=7))
        await watch.observe()
        assert reason() is None
        look = DeviceSnapshot(problem=refusal, refused=True)
        await watch.observe()
        assert reason() == "DeviceUnreadable", "it is counted anew"
        await watch.stop()

    asyncio.run(asyncio.wait_for(scenario(), 10))
