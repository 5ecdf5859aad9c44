"""Tells the supervisor that the page in hand comes on, seldom enough to cost nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]


class Progress:
    """What an engine calls whenever a part of a page is done. Between `begin` and `end` it calls
    `tell` with the order's number, at most once in `interval` seconds, and lets through what that
    raises; outside of them, as in the warm-up, it only measures."""

    def __init__(
        self, tell: Callable[[int], None], interval: float, clock: Clock = time.monotonic
    ) -> None:
        self._tell = tell
        self._interval = interval
        self._clock = clock
        self._number: int | None = None
        self._told = 0.0
        self._came_on = 0.0
        # Seconds that the page in hand has gone without progress at most.
        self.longest = 0.0

    def begin(self, number: int | None = None) -> None:
        """A page begins: that of the order `number`, or of the warm-up."""
        self._number = number
        self._told = self._came_on = self._clock()
        self.longest = 0.0

    def end(self) -> None:
        """The page has been read, or failed: what is told from now on is about no page."""
        self._note(self._clock())
        self._number = None

    def __call__(self) -> None:
        now = self._clock()
        self._note(now)
        if self._number is not None and now - self._told >= self._interval:
            self._told = now
            self._tell(self._number)

    def _note(self, now: float) -> None:
        self.longest = max(self.longest, now - self._came_on)
        self._came_on = now
