"""When somebody has had long enough: a request that waits, an instance on a page or at its boot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ocrpool_worker.supervisor.startup_backoff import Clock


class Deadline:
    """Calls `expire` when `limit` seconds of `clock` have passed since `since()`, and whatever had
    arrived by then was read. To be made inside a running loop."""

    __slots__ = ("_clock", "_expire", "_handle", "_limit", "_listened", "_loop", "_since")

    def __init__(
        self,
        limit: float,
        clock: Clock,
        expire: Callable[[], None],
        *,
        since: Callable[[], float] | None = None,
    ) -> None:
        """`clock`: one that stands while this process does (ActiveClock). `since`: asked again
        whenever the time seems to be over; the moment of making where it is left out."""
        self._limit = limit
        self._clock = clock
        self._expire = expire
        now = clock()
        self._since = since or (lambda: now)
        self._listened = False
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_later(limit, self._check)

    def _check(self) -> None:
        left = self._since() + self._limit - self._clock()
        if left > 0:
            self._listened = False
            self._handle = self._loop.call_later(left, self._check)
        elif not self._listened:
            # A loop that goes on after a stop runs its timers before it looks at its sockets. A
            # timer lets it look first; one without a delay uvloop would run before it does.
            self._listened = True
            self._handle = self._loop.call_later(0.001, self._check)
        else:
            self._expire()

    def cancel(self) -> None:
        self._handle.cancel()
