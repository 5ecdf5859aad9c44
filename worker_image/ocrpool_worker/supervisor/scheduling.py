"""One alarm for the earliest time asked for, and tasks that are seen to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine


class Scheduler:
    """`wake` is called when the alarm goes off. To be used, and closed, inside a running loop."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._alarm: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def wake_in(self, seconds: float) -> None:
        """Wake after `seconds`, or earlier where that is arranged already."""
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if self._alarm is not None and not self._alarm.cancelled():
            if loop.time() < self._alarm.when() <= when:
                return
            self._alarm.cancel()
        # A little later, so that the clock is past the time when we look.
        self._alarm = loop.call_later(seconds + 0.01, self._wake)

    def spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        """Run it beside everything else."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """No alarm any more; back when the tasks are."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
