"""When the next instance may start, and when no more are started."""

from __future__ import annotations

from ocrpool.protocol import Problem, backoff_seconds
from ocrpool_worker.supervisor.active_clock import Clock

STARTUP_ATTEMPTS = 3
BACKOFF_FIRST, BACKOFF_MOST = 0.5, 30.0  # seconds


class StartupBackoff:
    """Waits longer after each failure, and gives up after STARTUP_ATTEMPTS failures in a row."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._external_failures = 0
        self._exits_without_answer = 0
        self._next_start = 0.0
        self.was_ready = False
        # Why no more instances are started; None while they are.
        self.problem: Problem | None = None

    def delay(self) -> float:
        """Seconds until the next instance may start; 0 is now."""
        return max(0.0, self._next_start - self._clock())

    def record_failure(self, problem: Problem, *, final: bool = False) -> None:
        """A startup failed. `final`: the next one would fail in the same way, unless one has
        worked before."""
        self._failures += 1
        if self._failures >= STARTUP_ATTEMPTS or (final and not self.was_ready):
            self.problem = problem
        else:
            self._back_off(self._failures)

    def record_external_failure(self, problem: Problem) -> None:
        """Another process killed a starting instance, or the system could not create one more
        process. Once an instance was ready, this never ends the attempts: the next startup may
        work."""
        if not self.was_ready:
            self.record_failure(problem)
            return
        self._external_failures += 1
        self._back_off(self._external_failures)

    def record_ready(self) -> None:
        self._failures = self._external_failures = 0
        self.was_ready = True

    def record_answer(self) -> None:
        """An instance has answered a page."""
        self._exits_without_answer = 0

    def record_exit_without_answer(self) -> None:
        """A warm instance exited before it answered anything."""
        self._exits_without_answer += 1
        self._back_off(self._exits_without_answer)

    def postpone(self, seconds: float) -> None:
        """Start nothing for so long. Counts as no failure."""
        self._next_start = self._clock() + seconds

    def reset(self) -> None:
        """Start over, at once."""
        self.problem = None
        self._failures = self._external_failures = 0
        self._next_start = 0.0

    def _back_off(self, failures: int) -> None:
        pause = backoff_seconds(failures, first=BACKOFF_FIRST, most=BACKOFF_MOST)
        self._next_start = self._clock() + pause
