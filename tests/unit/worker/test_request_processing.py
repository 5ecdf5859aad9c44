"""Documents are inspected before their pages are read."""

from __future__ import annotations

import gc
import weakref

import pytest

from ocrpool_worker.errors import (
    NotAnImage,
    RequestError,
    TooLarge,
)
from tests.unit.worker.fake_instances import (
    in_loop,
    no_processes,
    settle,
)
from tests.unit.worker.fake_supervisor import PDF, TIFF, world_of

__all__ = ["no_processes"]


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
async def test_a_failed_request_frees_its_bytes_at_once() -> None:
    """Not at the next garbage collection: `bodyMemory` has given the memory to others by then."""

    class Body(bytearray):
        """Bytes that a weak reference can follow."""

    async with world_of() as world:
        body = Body(b"page")
        left = weakref.ref(body)
        answer = await world.send(body)
        del body
        gc.disable()
        try:
            world.busy().report("refused", reason="NotAnImage", message="no image")
            with pytest.raises(RequestError):
                await answer
            del answer
            await settle()
            assert left() is None
        finally:
            gc.enable()
