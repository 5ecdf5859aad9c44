"""What an instance did with a page becomes an answer, an error, or another try."""

from __future__ import annotations

import signal

import pytest

from ocrpool_worker.errors import (
    EngineFailure,
    PoisonPage,
    TooLarge,
    Unavailable,
)
from tests.unit.worker.fake_instances import (
    in_loop,
    no_processes,
    settle,
)
from tests.unit.worker.fake_supervisor import IMAGE, PDF, world_of

__all__ = ["no_processes"]


@in_loop
async def test_an_unreadable_page_does_not_cost_the_others() -> None:
    async with world_of() as world:
        answer = await world.send(b"document", PDF)
        process = world.busy()
        process.report("inspected", count=2, sizes=[[10, 10], [10, 10]])
        await settle()
        process.report("refused", reason="NotAnImage", message="page 1 is damaged")
        await settle()
        process.report("done", payload=b"second")
        first, second = await answer
        assert first.error is not None
        assert (first.error.message, bytes(second.json)) == ("page 1 is damaged", b"second")
        assert world.counters["unread"] == 1


@in_loop
async def test_an_answer_over_the_limit_of_one_request_is_refused() -> None:
    async with world_of(admission={"maxAnswer": 2**20}) as world:
        answer = await world.send()
        world.busy().report("done", payload=b"x" * (2**20 + 1))
        with pytest.raises(TooLarge, match=r"admission\.maxAnswer"):
            await answer


@in_loop
async def test_a_page_whose_instance_exits_is_read_by_another() -> None:
    async with world_of(instances=2) as world:
        answer = await world.send()
        first = world.busy().ident
        await world.let_it_exit()
        assert world.busy().ident != first
        world.busy().report("done")
        await answer
        assert (world.counters["retried"], world.counters["deaths"]) == (1, 1)


@in_loop
async def test_a_request_that_ends_two_instances_is_refused_from_then_on() -> None:
    async with world_of(instances=2) as world:
        answer = await world.send(b"poison")
        await world.let_it_exit()
        await world.let_it_exit()
        with pytest.raises(PoisonPage, match="ended two OCR processes"):
            await answer
        with pytest.raises(PoisonPage, match="is refused for another 600 s"):
            await world.supervisor.process(b"poison", IMAGE)
        assert (world.counters["poisoned"], world.counters["refused"]) == (1, 1)
        other = await world.send(b"other")
        world.busy().report("done")
        await other


@in_loop
async def test_exits_before_a_page_was_begun_are_not_held_against_it() -> None:
    async with world_of(instances=2) as world:
        answer = await world.send()
        for _ in range(4):
            world.busy().exit(-signal.SIGSEGV)
            await world.start_instances()
        world.busy().report("done")
        await answer
        assert (world.counters["retried"], world.counters["poisoned"]) == (4, 0)


@in_loop
async def test_a_page_whose_instances_are_killed_by_another_process_is_not_blamed() -> None:
    async with world_of(instances=2) as world:
        answer = await world.send()
        await world.let_it_exit(-signal.SIGTERM)
        await world.let_it_exit(-signal.SIGTERM)
        with pytest.raises(Unavailable, match="SIGTERM"):
            await answer
        again = await world.send()
        world.busy().report("done")
        await again


@in_loop
async def test_an_engine_that_fails_twice_on_a_page_answers_with_its_error() -> None:
    async with world_of(instances=2) as world:
        answer = await world.send()
        for _ in range(2):
            world.busy().report("fault", fault="engine", message="ValueError: odd")
            await settle()
        with pytest.raises(EngineFailure, match="ValueError: odd"):
            await answer
        assert world.states() == ["idle", "idle"]


@in_loop
async def test_a_page_that_runs_out_of_memory_lowers_the_ceiling() -> None:
    async with world_of(instances=2) as world:
        answer = await world.send()
        world.busy().report("fault", fault="memory", message="out of memory")
        await settle()
        assert world.supervisor.state().instances.ceiling == 1
        assert sorted(world.states()) == ["busy", "retiring"]
        world.busy().report("done")
        await answer


@in_loop
async def test_three_device_errors_within_a_minute_make_the_worker_not_ready() -> None:
    async with world_of(instances=2) as world:
        for body in (b"1", b"2"):
            answer = await world.send(body)
            for _ in range(2):
                process = world.busy()
                process.report("fault", fault="device", message="CUDA error 700")
                assert process.killed_for == "device: CUDA error 700"
                process.exit(-signal.SIGKILL)
                world.supervisor._manager.startup_backoff.reset()
                world.supervisor._manager.reconcile()
                await world.until_warm()
            with pytest.raises(PoisonPage, match="device error"):
                await answer
        problem = world.supervisor.problem()
        assert problem is not None
        assert problem.reason == "DeviceError"
        assert not world.supervisor.ready
        world.clock.now += 60
        assert world.supervisor.ready
