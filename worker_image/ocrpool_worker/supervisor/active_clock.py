"""A clock that stands while this process does not run.

A process can be stopped (SIGSTOP, a debugger, a frozen container) or its loop held up. When it goes
on, the answers of that time are still to be read, and the instances may have stood as well: nobody
is to be condemned for time in which nobody listened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

# How often the clock is advanced, and the most that it advances at a time: what a busy machine
# takes from a loop counts, a stop does not.
TICK_SECONDS = 0.2
MAX_STEP_SECONDS = 0.5


class ActiveClock:
    """Seconds in which the loop ran, of a monotonic `clock`. Runs from `start` to `stop`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._counted = 0.0
        self._beat_at = clock()
        self._next: asyncio.TimerHandle | None = None

    def __call__(self) -> float:
        return self._counted + min(self._clock() - self._beat_at, MAX_STEP_SECONDS)

    def start(self) -> None:
        """To be called inside the running loop."""
        self._counted, self._beat_at = self(), self._clock()
        self._next = asyncio.get_running_loop().call_later(TICK_SECONDS, self.start)

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
