"""A refused call is made again after a pause, and at once when the spec changes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ocrpool.planner.observed import PoolProblem
from ocrpool_operator.cluster.retry_backoff import PAUSE_FIRST, PAUSE_MOST, RetryBackoff
from tests.unit.planner.pools import a_pool

PROBLEM = PoolProblem("Refused", "no such thing")
POOL = a_pool()


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_pause_grows_up_to_a_minute() -> None:
    clock = Clock()
    backoff = RetryBackoff(clock)
    pauses = []
    for _ in range(8):
        backoff.record_refusal(POOL, "Create pages-0", PROBLEM)
        assert backoff.pending(POOL, "Create pages-0") == PROBLEM
        pauses.append(backoff.next_retry(POOL) - clock.now)
        clock.now = backoff.next_retry(POOL)
        assert backoff.pending(POOL, "Create pages-0") is None
        # A call whose pause is over needs no wake-up: the current round makes it.
        assert backoff.next_retry(POOL) == math.inf
    assert pauses[0] == PAUSE_FIRST
    assert pauses == sorted(pauses)
    assert pauses[-1] == PAUSE_MOST


def test_other_spec_pool_or_call_has_no_pause() -> None:
    backoff = RetryBackoff(Clock())
    backoff.record_refusal(POOL, "Create pages-0", PROBLEM)

    assert backoff.pending(POOL, "Create pages-1") is None
    assert backoff.pending(replace(POOL, generation=2), "Create pages-0") is None
    assert backoff.pending(replace(POOL, uid="other"), "Create pages-0") is None
    assert backoff.pending(replace(POOL, version=9), "Create pages-0") == PROBLEM


def test_cleared_call_and_dropped_pool_have_no_pause() -> None:
    backoff = RetryBackoff(Clock())
    for forget in (
        lambda: backoff.clear(POOL, "Create pages-0"),
        lambda: backoff.drop_pool(POOL.key),
    ):
        backoff.record_refusal(POOL, "Create pages-0", PROBLEM)
        forget()
        assert backoff.pending(POOL, "Create pages-0") is None
        assert backoff.next_retry(POOL) == math.inf
