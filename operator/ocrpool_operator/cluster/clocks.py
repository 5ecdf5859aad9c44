"""The clock for times that are written to the cluster.

The operator measures its own durations with `time.monotonic`. Times in the cluster (a pod's
deletion, a condition's change) are seconds since the epoch, and somebody may set the machine's
clock. Without this clock a draining worker would then seem to be overdue.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ocrpool_operator.cluster.fence import boot_seconds

# The largest relative error of a measured duration.
FOLLOW_SHARE = 0.05


class SlewedClock:
    """Seconds since the epoch without jumps: it follows a clock that was set slowly, as NTP does
    when it slews."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = boot_seconds,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last, self._now = monotonic(), wall()

    def __call__(self) -> float:
        last = self._monotonic()
        passed = last - self._last
        self._last = last
        self._now += passed
        most = passed * FOLLOW_SHARE
        self._now += min(max(self._wall() - self._now, -most), most)
        return self._now
