"""Which requests the supervisor takes, and how it drains and ends."""

from __future__ import annotations

import asyncio

import pytest

from ocrpool_worker.errors import (
    BootError,
    QueueFull,
    Unavailable,
)
from ocrpool_worker.supervisor.supervisor import Supervisor
from tests.unit.worker.fake_instances import (
    FakeProbe,
    FakeProcess,
    in_loop,
    no_processes,
    settings,
    settle,
)
from tests.unit.worker.fake_supervisor import IMAGE, world_of

__all__ = ["no_processes"]


@in_loop
async def test_a_full_queue_refuses_a_request() -> None:
    async with world_of(admission={"queue": 1}) as world:
        answers = [await world.send(b"1"), await world.send(b"2")]
        with pytest.raises(QueueFull, match=r"the limit is 1 \(admission\.queue\)"):
            await world.supervisor.process(b"3", IMAGE)
        for answer in answers:
            world.busy().report("done")
            await answer
        assert world.counters["rejected"] == 1


@in_loop
async def test_a_target_over_the_maximum_is_refused() -> None:
    async with world_of(instances=1) as world:
        with pytest.raises(ValueError, match=r"it must be 0 to 8 \(instances\.max\)"):
            world.supervisor.set_target(9)


@in_loop
async def test_a_draining_worker_takes_requests_until_its_lame_duck_time_is_over() -> None:
    async with world_of() as world:
        world.supervisor.drain(10)
        assert not world.supervisor.ready
        answer = await world.send()
        world.busy().report("done")
        await answer
        world.clock.now += 10
        with pytest.raises(Unavailable, match="draining"):
            world.supervisor.check_capacity()
        world.supervisor.check_capacity(arrived=True)
        assert world.supervisor.undrain()
        assert world.supervisor.ready


@in_loop
async def test_a_worker_that_ends_does_not_take_its_drain_back() -> None:
    async with world_of() as world:
        world.supervisor.drain(final=True)
        assert not world.supervisor.undrain()
        assert world.supervisor.draining


@in_loop
async def test_a_worker_is_drained_when_its_last_request_is_answered() -> None:
    async with world_of() as world:
        answer = await world.send()
        with world.supervisor.track_arrival():
            world.supervisor.drain()
            drained = asyncio.ensure_future(world.supervisor.wait_until_drained())
            world.busy().report("done")
            await answer
            await settle()
            assert not drained.done(), "the body of a request is still on its way"
        await drained


@in_loop
async def test_close_answers_open_requests() -> None:
    async with world_of() as world:
        answer = await world.send()
        process = world.busy()
        process.exit(0)
        closing = asyncio.ensure_future(world.supervisor.close())
        with pytest.raises(Unavailable, match="has stopped"):
            await answer
        await closing


@in_loop
async def test_waiting_for_the_first_instance_ends_with_its_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeProcess, "start_error", OSError(11, "no process left"))
    supervisor = Supervisor(settings(), probe=FakeProbe())
    monkeypatch.setattr("ocrpool_worker.supervisor.startup_backoff.BACKOFF_FIRST", 0.001)
    supervisor.start()
    with pytest.raises(BootError, match="no process could be started"):
        await supervisor.wait_until_ready()
    await supervisor.close()
