"""Work items are handed to idle instances, with their bytes and a time limit."""

from __future__ import annotations

import asyncio
import signal

import pytest

from ocrpool_worker.errors import (
    TimedOut,
    Unavailable,
)
from ocrpool_worker.supervisor import dispatcher as dispatcher_module
from tests.unit.worker.fake_instances import (
    in_loop,
    no_processes,
    settle,
)
from tests.unit.worker.fake_supervisor import IMAGE, PDF, world_of

__all__ = ["no_processes"]


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
        process.exiting = True
        answer = await world.send()
        assert world.supervisor.state().queue.depth == 1
        assert world.states() == ["idle"]
        process.exit(-signal.SIGTERM)
        await world.start_instances()
        world.busy().report("done")
        await answer


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
async def test_a_target_of_0_answers_what_waits_and_lets_pages_finish() -> None:
    async with world_of() as world:
        running, waiting = await world.send(b"1"), await world.send(b"2")
        world.supervisor.set_target(0)
        with pytest.raises(Unavailable, match="asked for 0 instances"):
            await waiting
        world.busy().report("done")
        await running
