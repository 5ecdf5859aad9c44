"""Reports to the supervisor that the current page makes progress, at a limited rate."""

from __future__ import annotations

import time
from collections.abc import Callable


class ProgressReporter:
    """An engine calls it whenever a part of a page is done. Between `begin` and `end` it calls
    `report` with the command's number, at most once in `interval` seconds, and lets its exceptions
    through. Without a number, as during the warm-up, it only measures."""

    def __init__(
        self,
        report: Callable[[int], None],
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._interval = interval
        self._clock = clock
        self._number: int | None = None
        self._reported_at = 0.0
        self._progressed_at = 0.0
        # The longest time without progress on the current page, in seconds.
        self.longest = 0.0

    def begin(self, number: int | None = None) -> None:
        """A page begins: that of the command `number`, or one of the warm-up."""
        self._number = number
        self._reported_at = self._progressed_at = self._clock()
        self.longest = 0.0

    def end(self) -> None:
        """The page was read, or failed. Nothing is reported until the next one begins."""
        self._measure(self._clock())
        self._number = None

    def __call__(self) -> None:
        now = self._clock()
        self._measure(now)
        if self._number is not None and now - self._reported_at >= self._interval:
            self._reported_at = now
            self._report(self._number)

    def _measure(self, now: float) -> None:
        self.longest = max(self.longest, now - self._progressed_at)
        self._progressed_at = now
