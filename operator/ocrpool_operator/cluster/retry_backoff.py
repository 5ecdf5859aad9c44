"""What the API server refused is not asked again in every round, but with a pause that grows.

A refusal is about the spec as it was: an edit of the pool begins anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ocrpool.planner.observed import ObservedPool, PoolProblem
from ocrpool.protocol import backoff_seconds
from ocrpool_operator.cluster.cache import Key

PAUSE_FIRST = 5.0
PAUSE_MOST = 60.0


@dataclass(frozen=True, slots=True)
class _Refusal:
    about: tuple[str, int]
    times: int
    until: float
    trouble: PoolProblem


class RetryBackoff:
    """Refusals by pool and call; `what` names a call in any words that stay. `now`: monotonic
    seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._held: dict[Key, dict[str, _Refusal]] = {}

    def pending(self, pool: ObservedPool, what: str) -> PoolProblem | None:
        """What was said to this call, while it is too early to ask again."""
        held = self._of(pool).get(what)
        return held.trouble if held is not None and self._now() < held.until else None

    def record_refusal(self, pool: ObservedPool, what: str, trouble: PoolProblem) -> None:
        """It was refused, again or for the first time."""
        before = self._of(pool).get(what)
        times = 1 if before is None else before.times + 1
        pause = backoff_seconds(times, first=PAUSE_FIRST, most=PAUSE_MOST)
        kept = self._held.setdefault(pool.key, {})
        kept[what] = _Refusal(_about(pool), times, self._now() + pause, trouble)

    def clear(self, pool: ObservedPool, what: str) -> None:
        """It was done after all, or need not be done any more."""
        self._held.get(pool.key, {}).pop(what, None)

    def next_retry(self, pool: ObservedPool) -> float:
        """The next moment at which a call may be tried again; infinity where none waits."""
        now = self._now()
        waits = (each.until for each in self._of(pool).values() if each.until > now)
        return min(waits, default=math.inf)

    def drop_pool(self, key: Key) -> None:
        """The pool is gone."""
        self._held.pop(key, None)

    def _of(self, pool: ObservedPool) -> dict[str, _Refusal]:
        held = self._held.get(pool.key, {})
        return {what: each for what, each in held.items() if each.about == _about(pool)}


def _about(pool: ObservedPool) -> tuple[str, int]:
    """What a refusal was about: this pool, as it was spelled then."""
    return pool.uid, pool.generation
