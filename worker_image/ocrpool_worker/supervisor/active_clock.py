"""A clock that does not count time in which this process did not run.

A process can be stopped (SIGSTOP, a debugger, a frozen container), and its event loop can be held
up. Afterwards the answers of that time are still unread, and the instances may have been stopped as
well. Deadlines use this clock, so that nothing expires for time in which the supervisor could not
read an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

Clock = Callable[[], float]

# How often the clock advances, and the most that it advances at once. A busy machine delays a tick
# by less than this, and that time counts. A stop lasts longer, and does not count.
TICK_SECONDS = 0.2
MAX_STEP_SECONDS = 0.5


class ActiveClock:
    """Seconds of the monotonic `clock` in which the loop ran. Runs from `start` to `stop`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counted = 0.0
        self._ticked_at = clock()
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self) -> float:
        return self._counted + min(self._clock() - self._ticked_at, MAX_STEP_SECONDS)

    def start(self) -> None:
        """Begin to tick. Needs a running loop."""
        self._counted, self._ticked_at = self(), self._clock()
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self.start)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
