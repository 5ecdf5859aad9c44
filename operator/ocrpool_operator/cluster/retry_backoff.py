"""The pause after a call that the API server refused: it grows with each refusal.

A refusal concerns one generation of the spec. An edit of the pool ends the pause.
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
    # Uid and generation of the pool.
    pool: tuple[str, int]
    times: int
    until: float
    problem: PoolProblem


class RetryBackoff:
    """Refusals by pool and call. `call` is any text that names the call and does not change.
    `now`: monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._refusals: dict[Key, dict[str, _Refusal]] = {}

    def pending(self, pool: ObservedPool, call: str) -> PoolProblem | None:
        """The problem of a refused call whose pause is not over."""
        refusal = self._current(pool).get(call)
        if refusal is None or self._now() >= refusal.until:
            return None
        return refusal.problem

    def record_refusal(self, pool: ObservedPool, call: str, problem: PoolProblem) -> None:
        """Start the pause, or a longer one if the call was refused before."""
        before = self._current(pool).get(call)
        times = 1 if before is None else before.times + 1
        pause = backoff_seconds(times, first=PAUSE_FIRST, most=PAUSE_MOST)
        refusal = _Refusal(_generation(pool), times, self._now() + pause, problem)
        self._refusals.setdefault(pool.key, {})[call] = refusal

    def clear(self, pool: ObservedPool, call: str) -> None:
        """Forget the refusals of a call that succeeded or is no longer needed."""
        self._refusals.get(pool.key, {}).pop(call, None)

    def next_retry(self, pool: ObservedPool) -> float:
        """When the first pause ends; infinity if no call waits."""
        now = self._now()
        ends = (each.until for each in self._current(pool).values() if each.until > now)
        return min(ends, default=math.inf)

    def drop_pool(self, key: Key) -> None:
        """Forget a pool that is gone."""
        self._refusals.pop(key, None)

    def _current(self, pool: ObservedPool) -> dict[str, _Refusal]:
        """The refusals that concern the pool as it is now."""
        found = self._refusals.get(pool.key, {})
        return {call: each for call, each in found.items() if each.pool == _generation(pool)}


def _generation(pool: ObservedPool) -> tuple[str, int]:
    return pool.uid, pool.generation
