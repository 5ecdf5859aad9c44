"""Which pool's round is next. Watch handlers run on the event loop's own thread."""

from __future__ import annotations

import asyncio
import inspect
import time

import pytest

from ocrpool_operator.cluster.cache import Key, PoolCache
from ocrpool_operator.cluster.watch import registry
from ocrpool_operator.metrics import OperatorMetrics
from ocrpool_operator.reconcile.loop import MAX_CONCURRENT_ROUNDS, ReconcileLoop


@pytest.mark.asyncio
async def test_new_pools_come_before_pools_that_are_due_again() -> None:
    begun: list[Key] = []
    all_begun, new_begun = asyncio.Event(), asyncio.Event()
    old = [("default", f"old{number}") for number in range(4 * MAX_CONCURRENT_ROUNDS)]
    new = ("default", "new")

    async def reconcile(key: Key) -> float:
        begun.append(key)
        if set(begun) == set(old):
            all_begun.set()
        if key == new:
            new_begun.set()
        await asyncio.sleep(0.005)
        return 0.0

    loop = ReconcileLoop(reconcile, OperatorMetrics(), time.monotonic)
    for key in old:
        loop.enqueue(key, 0.0)
    turning = asyncio.create_task(loop.run())
    async with asyncio.timeout(10):
        await all_begun.wait()
        before = len(begun)
        loop.enqueue(new, 0.0)
        await new_begun.wait()
    turning.cancel()

    assert begun.index(new) - before <= MAX_CONCURRENT_ROUNDS


def test_watch_handlers_do_not_run_in_threads() -> None:
    """kopf calls handlers that are plain functions in threads. They would change the queue and the
    cache while these are read."""

    async def end() -> None:
        pass

    found = registry(PoolCache(), lambda key: None, end)

    handlers = found._watching.get_all_handlers()
    assert len(handlers) == 7
    assert all(inspect.iscoroutinefunction(each.fn) for each in handlers)
