"""What the API server refused is asked again with pauses, and at once when the spec changes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ocrpool.planner.observed import PoolProblem
from ocrpool_operator.cluster.retry_backoff import PAUSE_FIRST, PAUSE_MOST, Refusals
from tests.unit.planner.pools import a_pool

TROUBLE = PoolProblem("Refused", "no such thing")
POOL = a_pool()


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_pause_grows_up_to_a_minute() -> None:
    clock = Clock()
    refusals = Refusals(clock)
    pauses = []
    for _ in range(8):
        refusals.note(POOL, "Create pages-0", TROUBLE)
        assert refusals.pending(POOL, "Create pages-0") == TROUBLE
        pauses.append(refusals.wake(POOL) - clock.now)
        clock.now = refusals.wake(POOL)
        assert refusals.pending(POOL, "Create pages-0") is None
        # What may be tried again is nothing to wake up for: the round that woke up tries it.
        assert refusals.wake(POOL) == math.inf
    assert pauses[0] == PAUSE_FIRST
    assert pauses == sorted(pauses)
    assert pauses[-1] == PAUSE_MOST


def test_another_spec_pool_or_call_begins_anew() -> None:
    refusals = Refusals(Clock())
    refusals.note(POOL, "Create pages-0", TROUBLE)

    assert refusals.pending(POOL, "Create pages-1") is None
    assert refusals.pending(replace(POOL, generation=2), "Create pages-0") is None
    assert refusals.pending(replace(POOL, uid="other"), "Create pages-0") is None
    assert refusals.pending(replace(POOL, version=9), "Create pages-0") == TROUBLE


def test_done_and_gone_are_forgotten() -> None:
    refusals = Refusals(Clock())
    for forget in (
        lambda: refusals.done(POOL, "Create pages-0"),
        lambda: refusals.forget(POOL.key),
    ):
        refusals.note(POOL, "Create pages-0", TROUBLE)
        forget()
        assert refusals.pending(POOL, "Create pages-0") is None
        assert refusals.wake(POOL) == math.inf
