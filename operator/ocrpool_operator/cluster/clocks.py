"""The operator's two clocks: one for what it remembers, one for what is written in the cluster.

Durations between moments of its own are measured with `time.monotonic`. Where a moment is written
down (a pod's deletion, the time of a condition) it is in seconds since the epoch, and somebody may
set the machine's clock between two looks: then a worker that drains must not look overdue.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ocrpool_operator.cluster.fence import boot_seconds

# No duration is measured wrong by more than this part of it.
FOLLOW_SHARE = 0.05


class SlewedClock:
    """Seconds since the epoch that go on evenly; a clock that was set is followed slowly."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        passing: Callable[[], float] = boot_seconds,
    ) -> None:
        self._wall = wall
        self._passing = passing
        self._looked, self._now = passing(), wall()

    def __call__(self) -> float:
        looked = self._passing()
        passed = looked - self._looked
        self._looked = looked
        self._now += passed
        most = passed * FOLLOW_SHARE
        self._now += min(max(self._wall() - self._now, -most), most)
        return self._now
