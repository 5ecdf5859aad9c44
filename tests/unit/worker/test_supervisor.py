"""The supervisor: each request is answered exactly once, whatever its instances do."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ocrpool_worker.errors import (
    BootError,
    EngineFailure,
    NotAnImage,
    PoisonPage,
    QueueFull,
    RequestError,
    TimedOut,
    TooLarge,
    Unavailable,
)
from ocrpool_worker.supervisor import dispatcher as dispatcher_module
from ocrpool_worker.supervisor.requests import PageAnswer, RequestSpec
from ocrpool_worker.supervisor.supervisor import Supervisor
from tests.unit.worker.fake_instances import (
    Clock,
    FakeProbe,
    FakeProcess,
    in_loop,
    no_processes,
    settings,
    settle,
)

__all__ = ["no_processes"]

IMAGE, PDF, TIFF = RequestSpec("image"), RequestSpec("pdf"), RequestSpec("tiff")
Answers = asyncio.Task[list[PageAnswer]]


class World:
    """A supervisor, its instances by number, and the clock."""

    def __init__(self, supervisor: Supervisor, clock: Clock) -> None:
        self.supervisor = supervisor
        self.clock = clock

    @property
    def counters(self) -> Mapping[str, float]:
        return self.supervisor.counters

    def processes(self) -> dict[int, FakeProcess]:
        found = {}
        for instance in self.supervisor._manager.instances.values():
            assert isinstance(instance.process, FakeProcess)
            found[int(instance.ident[1:])] = instance.process
        return found

    def states(self) -> list[str]:
        return [one.state for one in self.supervisor.state().instances.each]

    async def start_instances(self) -> None:
        """Let instances start until all are warm."""
        self.clock.now += 60
        self.supervisor._manager.reconcile()
        await self._until_warm()

    async def _until_warm(self) -> None:
        while True:
            # `observe` asks the fake device in a thread.
            await asyncio.sleep(0.002)
            starting = [
                one for one in self.supervisor._manager.instances.values() if one.expected_answer
            ]
            starting = [one for one in starting if one.expected_answer == "start"]
            if not starting and not self.supervisor._manager.starting:
                return
            for one in starting:
                assert isinstance(one.process, FakeProcess)
                one.process.report("ready")

    async def send(self, body: bytes = b"picture", spec: RequestSpec = IMAGE) -> Answers:
        task = asyncio.ensure_future(self.supervisor.process(body, spec))
        await settle()
        return task

    def busy(self) -> FakeProcess:
        """The one instance that has a page."""
        (busy,) = (
            one for one in self.supervisor._manager.instances.values() if one.item is not None
        )
        assert isinstance(busy.process, FakeProcess)
        return busy.process

    async def let_it_exit(self, status: int = -signal.SIGSEGV) -> None:
        """The busy instance begins its page and exits; others start in its place."""
        process = self.busy()
        process.begin()
        process.exit(status)
        await self.start_instances()


@asynccontextmanager
async def world_of(instances: int = 1, **sections: Any) -> AsyncIterator[World]:
    clock = Clock()
    supervisor = Supervisor(
        settings(**sections), probe=FakeProbe(), instances=instances, clock=clock
    )
    world = World(supervisor, clock)
    supervisor.start()
    await world.start_instances()
    try:
        yield world
    finally:
        for process in world.processes().values():
            process.exit(0)
        await supervisor.close()


# -- answers -------------------------------------------------------------------------------


@in_loop
async def test_an_image_is_read_by_an_idle_instance() -> None:
    async with world_of() as world:
        answer = await world.send(b"picture")
        process = world.busy()
        assert process.shared_buffer is not None
        assert process.shared_buffer.written == [b"picture"]
        command = process.sent[-1]
        assert (command["op"], command["kind"], command["page"]) == ("read", "image", None)
        process.report("done", payload=b"{...}")
        (page,) = await answer
        assert (page.width, page.height, bytes(page.json)) == (4, 3, b"{...}")
        assert (world.counters["requests"], world.counters["answered"]) == (1, 1)


@in_loop
async def test_the_pages_of_a_document_are_read_side_by_side_and_answered_in_order() -> None:
    async with world_of(instances=2) as world:
        answer = await world.send(b"document", PDF)
        world.busy().report("inspected", count=2, sizes=[[10, 10], [10, 10]])
        await settle()
        assert world.states() == ["busy", "busy"]
        by_page = {process.sent[-1]["page"]: process for process in world.processes().values()}
        by_page[1].report("done", payload=b"second")
        by_page[0].report("done", payload=b"first")
        assert [page.json for page in await answer] == [b"first", b"second"]


@in_loop
async def test_an_instance_gets_the_bytes_of_a_document_only_once() -> None:
    async with world_of() as world:
        answer = await world.send(b"document", PDF)
        process = world.busy()
        process.report("inspected", count=2, sizes=[[10, 10], [10, 10]])
        for _ in range(2):
            await settle()
            process.report("done")
        await answer
        assert process.shared_buffer is not None
        assert process.shared_buffer.written == [b"document"]


@in_loop
async def test_a_tiff_of_one_frame_is_read_as_an_image() -> None:
    async with world_of() as world:
        answer = await world.send(b"frame", TIFF)
        world.busy().report("inspected", count=1, sizes=[[10, 10]])
        await settle()
        assert world.busy().sent[-1]["kind"] == "image"
        world.busy().report("done")
        await answer


@pytest.mark.parametrize(
    ("count", "sizes", "error", "text"),
    [
        (3, [], TooLarge, "3 pages, the limit is 2"),
        (0, [], NotAnImage, "no pages"),
    ],
)
@in_loop
async def test_a_document_over_a_limit_is_refused_before_its_pages_are_read(
    count: int, sizes: list[list[int]], error: type[RequestError], text: str
) -> None:
    async with world_of(admission={"maxPages": 2}) as world:
        answer = await world.send(b"document", PDF)
        world.busy().report("inspected", count=count, sizes=sizes)
        with pytest.raises(error, match=text):
            await answer
        assert world.states() == ["idle"]


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


# -- failures ------------------------------------------------------------------------------


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
                await world._until_warm()
            with pytest.raises(PoisonPage, match="device error"):
                await answer
        problem = world.supervisor.problem()
        assert problem is not None
        assert problem.reason == "DeviceError"
        assert not world.supervisor.ready
        world.clock.now += 60
        assert world.supervisor.ready


@in_loop
async def test_a_page_without_an_answer_in_time_gets_an_error_and_costs_its_instance() -> None:
    async with world_of(admission={"timeoutSeconds": 0.05, "pageSeconds": 0.05}) as world:
        answer = await world.send()
        process = world.busy()
        while not answer.done():
            world.clock.now += 0.02
            await asyncio.sleep(0.005)
        with pytest.raises(TimedOut, match=r"admission\.timeoutSeconds"):
            await answer
        while process.killed_for is None:
            world.clock.now += 0.02
            await asyncio.sleep(0.005)
        assert process.killed_for == "no answer within 0.05 s (admission.timeoutSeconds)"
        assert (world.counters["timeouts"], world.counters["deaths"]) == (1, 1)


# -- bytes ---------------------------------------------------------------------------------


@in_loop
async def test_a_large_body_is_written_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher_module, "WRITE_STEP", 4)
    async with world_of() as world:
        answer = await world.send(b"0123456789")
        process = world.busy()
        assert process.shared_buffer is not None
        assert process.shared_buffer.written == [b"0123", b"4567", b"89"]
        process.report("done")
        await answer


@pytest.mark.parametrize("body", [b"small", b"larger than a step"])
@in_loop
async def test_no_memory_for_the_bytes_of_a_request_is_answered(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher_module, "WRITE_STEP", 8)
    async with world_of() as world:
        (process,) = world.processes().values()
        assert process.shared_buffer is not None
        process.shared_buffer.error = OSError(28, "No space left on device")
        with pytest.raises(Unavailable, match="no memory for the request's bytes"):
            await world.supervisor.process(body, IMAGE)


@in_loop
async def test_a_page_goes_back_to_the_queue_where_the_instance_cannot_be_reached() -> None:
    async with world_of() as world:
        (process,) = world.processes().values()
        process.connected = False
        answer = await world.send()
        assert world.supervisor.state().queue.depth == 1
        process.exit(-signal.SIGTERM)
        await world.start_instances()
        world.busy().report("done")
        await answer


# -- clients and limits --------------------------------------------------------------------


@in_loop
async def test_a_request_whose_client_has_gone_is_cancelled_on_its_instance() -> None:
    async with world_of() as world:
        running = await world.send(b"1")
        waiting = await world.send(b"2")
        process = world.busy()
        for request in (waiting, running):
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
        assert process.shared_buffer is not None
        assert process.shared_buffer.cancelled == [process.sent[-1]["number"]]
        assert world.supervisor.state().queue.depth == 0
        assert world.counters["cancelled"] == 2


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
async def test_a_target_of_0_answers_what_waits_and_lets_pages_finish() -> None:
    async with world_of() as world:
        running, waiting = await world.send(b"1"), await world.send(b"2")
        world.supervisor.set_target(0)
        with pytest.raises(Unavailable, match="asked for 0 instances"):
            await waiting
        world.busy().report("done")
        await running


@in_loop
async def test_a_target_over_the_maximum_is_refused() -> None:
    async with world_of(instances=1) as world:
        with pytest.raises(ValueError, match=r"it must be 0 to 8 \(instances\.max\)"):
            world.supervisor.set_target(9)


# -- draining and the end ------------------------------------------------------------------


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
        world.supervisor.drain(ending=True)
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
