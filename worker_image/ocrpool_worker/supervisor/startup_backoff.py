"""When the next instance may boot, when none will, and how many memory allows."""

from __future__ import annotations

from collections.abc import Callable

from ocrpool.protocol import Problem
from ocrpool_worker.supervisor import failure_rules

Clock = Callable[[], float]


class StartupBackoff:
    """Backs off after failures, and gives up after a few of them: no crash loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._fruitless = 0
        self._hindered = 0
        self._next = 0.0
        self.was_ready = False
        # Why nothing boots any more; None while boots go on.
        self.problem: Problem | None = None

    def wait(self) -> float:
        """Seconds until the next boot may begin; 0 is now."""
        return max(0.0, self._next - self._clock())

    def failed(self, problem: Problem, *, final: bool = False) -> None:
        """A boot failed. `final`: another try would end alike, unless one has worked before."""
        self._failures += 1
        if self._failures >= failure_rules.BOOT_ATTEMPTS or (final and not self.was_ready):
            self.problem = problem
        else:
            self._next = self._clock() + failure_rules.backoff(self._failures)

    def hindered(self, problem: Problem) -> None:
        """Somebody else killed one that booted, or the system had no room for another process. That
        says nothing of the next, where one was ready before: it is tried for ever, later each
        time."""
        if not self.was_ready:
            self.failed(problem)
            return
        self._hindered += 1
        self._next = self._clock() + failure_rules.backoff(self._hindered)

    def ready(self) -> None:
        """An instance is warm."""
        self._failures = self._hindered = 0
        self.was_ready = True

    def useful(self) -> None:
        """An instance has answered a page."""
        self._fruitless = 0

    def died_fruitless(self) -> None:
        """An instance died before it answered anything."""
        self._fruitless += 1
        self._next = self._clock() + failure_rules.backoff(self._fruitless)

    def postpone(self, seconds: float) -> None:
        """No boot for so long; nobody's fault."""
        self._next = self._clock() + seconds

    def forget(self) -> None:
        """Start over, at once."""
        self.problem = None
        self._failures = self._hindered = 0
        self._next = 0.0


class InstanceCeiling:
    """What the worker allows itself: lowered by one when memory runs out, raised again by one
    after each cool-down without."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._since = 0.0
        self.value = most

    def lower(self, to: int) -> None:
        """Allow no more than `to` instances, at least one."""
        self.value = max(1, min(self.value, to))
        self._since = self._clock()

    def wait(self) -> float | None:
        """Raise it where its time has come; seconds until the next raise, None if there is none."""
        while self.value < self._most:
            left = self._since + failure_rules.CEILING_COOLDOWN - self._clock()
            if left > 0:
                return left
            self.value += 1
            self._since += failure_rules.CEILING_COOLDOWN
        return None
