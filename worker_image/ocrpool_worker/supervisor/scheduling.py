"""One timer for the earliest time that is asked for, and background tasks that close waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine


class Scheduler:
    """Calls `wake` when the timer fires. Use and close it inside a running loop."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def wake_in(self, seconds: float) -> None:
        """Wake after `seconds`, or earlier where the timer is set for that already."""
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if self._timer is not None and not self._timer.cancelled():
            if loop.time() < self._timer.when() <= when:
                return
            self._timer.cancel()
        # A little later, so that the time has passed on the caller's clock as well.
        self._timer = loop.call_later(seconds + 0.01, self._wake)

    def spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        """Run it as a task of its own."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel the timer and wait for the tasks."""
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
