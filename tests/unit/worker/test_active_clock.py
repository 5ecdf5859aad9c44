"""Time in which nobody listened is not held against anybody."""

from __future__ import annotations

import asyncio
import os
import time

import uvloop

from ocrpool_worker.supervisor.active_clock import MAX_STEP_SECONDS, TICK_SECONDS, ActiveClock
from ocrpool_worker.supervisor.deadline import Deadline


def test_the_clock_counts_only_time_in_which_the_loop_runs() -> None:
    now = 100.0

    async def scenario() -> None:
        nonlocal now
        clock = ActiveClock(lambda: now)
        clock.start()
        began = clock()
        for _ in range(5):
            now += MAX_STEP_SECONDS / 2
            await asyncio.sleep(TICK_SECONDS * 1.5)
        assert clock() - began == 5 * MAX_STEP_SECONDS / 2
        now += 3600
        assert clock() - began == 7 * MAX_STEP_SECONDS / 2, "an hour in which it was stopped"
        clock.stop()

    asyncio.run(scenario())


def test_a_deadline_expires_only_after_unread_data_is_read() -> None:
    """The loop stands until long after the time is over; the byte came before that."""

    async def scenario() -> list[str]:
        told: list[str] = []
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        reader, writer = os.pipe()

        def expire() -> None:
            told.append("expired")
            over.set()

        def stall() -> None:
            os.write(writer, b"x")
            time.sleep(0.3)
            # What it does when a stop has made its look at the sockets come back empty.
            deadline._check()

        def read() -> None:
            told.append(f"read {os.read(reader, 1)!r}")
            loop.remove_reader(reader)

        loop.add_reader(reader, read)
        deadline = Deadline(0.1, time.monotonic, expire)
        deadline.cancel()
        loop.call_later(0.02, stall)  # a timer: from there uvloop looks at its sockets last
        async with asyncio.timeout(30):
            await over.wait()
        os.close(reader)
        os.close(writer)
        return told

    for run in (asyncio.run, uvloop.run):
        assert run(scenario()) == ["read b'x'", "expired"], run
