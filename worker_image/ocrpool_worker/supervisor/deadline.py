"""A time limit that never expires while there are unread answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ocrpool_worker.supervisor.active_clock import Clock


class Deadline:
    """Calls `expire` once `limit` seconds of `clock` have passed since `since()`, after everything
    that arrived by then was read. Needs a running loop."""

    __slots__ = ("_clock", "_expire", "_handle", "_limit", "_loop", "_polled", "_since")

    def __init__(
        self,
        limit: float,
        clock: Clock,
        expire: Callable[[], None],
        *,
        since: Callable[[], float] | None = None,
    ) -> None:
        """`clock`: an ActiveClock. `since`: called again whenever the time seems to be over; by
        default, the moment of construction."""
        self._limit = limit
        self._clock = clock
        self._expire = expire
        now = clock()
        self._since = since or (lambda: now)
        self._polled = False
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_later(limit, self._check)

    def _check(self) -> None:
        left = self._since() + self._limit - self._clock()
        if left > 0:
            self._polled = False
            self._handle = self._loop.call_later(left, self._check)
        elif not self._polled:
            # After a stop, a loop runs its timers before it polls its sockets. Another timer makes
            # it poll first. With a delay of 0, uvloop would run the timer before it polls.
            self._polled = True
            self._handle = self._loop.call_later(0.001, self._check)
        else:
            self._expire()

    def cancel(self) -> None:
        self._handle.cancel()
