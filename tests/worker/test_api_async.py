"""The asyncio pool, and the end of instances when their program is killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from ocrpool import AsyncInstancePool
from ocrpool.instance_pool import Page
from ocrpool_worker.errors import NotAnImage
from tests.fake_engine import order_png, pdf_of
from tests.worker.client import instances_of, wait_for
from tests.worker.harness import ENGINE, ROOT
from tests.worker.test_api import SETTINGS, said


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instances must find the fake engine."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def with_pool(use: Callable[[AsyncInstancePool], Awaitable[None]], **more: Any) -> None:
    """Run `use` with an open pool of two instances."""

    async def main() -> None:
        arguments: dict[str, Any] = {"instances": 2, "engine": ENGINE, "settings": SETTINGS, **more}
        async with AsyncInstancePool(**arguments) as pool:
            await use(pool)

    asyncio.run(main())


def test_read_map_and_state() -> None:
    async def use(pool: AsyncInstancePool) -> None:
        assert [said(page) for page in await pool.read(pdf_of([{"say": "a"}, {"say": "b"}]))] == [
            "a",
            "b",
        ]
        found = [said(page) async for page in pool.map(order_png(say=str(n)) for n in range(9))]
        assert found == list("012345678")
        both = await asyncio.gather(*(pool.read(order_png(say=str(n))) for n in range(9)))
        assert [said(page) for (page,) in both] == list("012345678")
        assert pool.state().counters.pages == 2 + 9 + 9

    with_pool(use)


def test_errors_in_place() -> None:
    async def use(pool: AsyncInstancePool) -> None:
        inputs = [order_png(say="a"), b"no image", order_png(say="c")]
        found = [one async for one in pool.map(inputs, return_errors=True)]
        assert isinstance(found[1], NotAnImage)
        assert [said(found[0]), said(found[2])] == ["a", "c"]
        with pytest.raises(NotAnImage):
            _ = [one async for one in pool.map(inputs)]

    with_pool(use)


def test_inputs_are_drawn_as_they_are_needed() -> None:
    async def use(pool: AsyncInstancePool) -> None:
        drawn = 0

        def endless() -> Iterator[bytes]:
            nonlocal drawn
            while True:
                drawn += 1
                yield order_png(say=str(drawn))

        pages = pool.map(endless())
        for number in range(1, 11):
            page = await anext(pages)
            assert isinstance(page, Page)
            assert said(page) == str(number)
            assert drawn <= number + 6
        await pages.aclose()  # type: ignore[attr-defined]
        assert pool.state().queue.depth == 0

    with_pool(use)


def test_outside_of_its_block() -> None:
    async def main() -> None:
        pool = AsyncInstancePool(engine=ENGINE, settings=SETTINGS)
        with pytest.raises(RuntimeError, match="async with"):
            await pool.read(order_png(say="x"))
        with pytest.raises(RuntimeError, match="async with"):
            pool.state()

    asyncio.run(main())


PROGRAM = """
import sys
from ocrpool import InstancePool
from tests.fake_engine import order_png

with InstancePool(instances=2, engine=sys.argv[1], settings={"memory": {"reserve": 0}}) as pool:
    while pool.state().instances.ready < 2:
        pass
    pool.submit(order_png(native=60))
    while not any(one.state == "busy" for one in pool.state().instances.each):
        pass
    print("reading", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_instances_die_with_their_program(number: signal.Signals) -> None:
    """Even an instance that runs native code."""
    command = [sys.executable, "-c", PROGRAM, ENGINE]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline() == "reading\n"
            assert len(instances_of(program.pid)) == 2
            program.send_signal(number)
            program.wait(20)
            wait_for("both are gone", lambda: not instances_of(program.pid), seconds=2)
        finally:
            program.kill()
