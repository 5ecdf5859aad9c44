"""How many instances the worker allows itself after memory ran out."""

from __future__ import annotations

from ocrpool_worker.supervisor import failure_rules
from ocrpool_worker.supervisor.active_clock import Clock


class InstanceCeiling:
    """Falls when memory runs out. Rises by one after each cool-down in which it did not."""

    def __init__(self, maximum: int, clock: Clock) -> None:
        self._maximum = maximum
        self._clock = clock
        self._changed_at = 0.0
        self.value = maximum

    def lower(self, to: int) -> None:
        """Allow no more than `to` instances, and at least one."""
        self.value = max(1, min(self.value, to))
        self._changed_at = self._clock()

    def raise_when_due(self) -> float | None:
        """Raise it as far as its cool-downs are over. Returns the seconds until the next raise,
        None where it is at its maximum."""
        while self.value < self._maximum:
            left = self._changed_at + failure_rules.CEILING_COOLDOWN - self._clock()
            if left > 0:
                return left
            self.value += 1
            self._changed_at += failure_rules.CEILING_COOLDOWN
        return None
