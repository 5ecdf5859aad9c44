"""When a pool's objects are listed again, although watches report their changes.

A broken watch can miss a deletion. A list finds it after the period at the latest.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ocrpool_operator.cluster.cache import Key


class ResyncTimer:
    """The time of each pool's last list. `clock`: monotonic seconds."""

    def __init__(self, period: float, clock: Callable[[], float]) -> None:
        self._period = period
        self._clock = clock
        self._listed: dict[Key, float] = {}

    def is_due(self, key: Key) -> bool:
        """Whether the last list is older than the period, or there was none."""
        return self._clock() - self._listed.get(key, -math.inf) >= self._period

    def has_listed(self, key: Key) -> bool:
        """Whether there was a list."""
        return key in self._listed

    def record_list(self, key: Key) -> None:
        """Note that the pool's objects were listed now."""
        self._listed[key] = self._clock()

    def forget_pool(self, key: Key) -> None:
        """Forget a pool that is gone."""
        self._listed.pop(key, None)
