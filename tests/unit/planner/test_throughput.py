"""Growth stops if the last instance did not raise the throughput."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ocrpool.planner.instances.plan import plan_instances
from ocrpool.planner.instances.types import InstanceDecision, InstanceHistory
from ocrpool.protocol import Counters, State
from tests.states import GI, LIMITS, instance, state


def looks(
    rates: dict[int, float], *, count: int, pages: float, queued: int = 9, seconds: int = 120
) -> Iterator[tuple[State, float]]:
    """Simulate `count` busy instances that together read `rates[count]` pages per second."""
    kind = "busy" if queued else "idle"
    for second in range(0, seconds, 5):
        done = pages + rates[count] * second
        yield (
            state(
                12 * GI,
                each=[instance(GI, kind)] * count,
                queued=queued,
                counters=Counters(
                    boots=count,
                    pages=round(done),
                    page_seconds=pages + (count * second if queued else 0.0),
                ),
            ),
            done,
        )


def climb(rates: dict[int, float], queued: int = 9) -> tuple[InstanceDecision, float]:
    """Grow from one instance under load until the planner holds; return decision and seconds."""
    history, now, pages, count = InstanceHistory(), 0.0, 0.0, 1
    while True:
        for seen, done in looks(rates, count=count, pages=pages, queued=queued):
            pages_then = done
            decision = plan_instances(LIMITS, history, seen, now)
            history = decision.history
            now += 5
            if decision.target != count:
                break
        else:
            return decision, now
        if decision.target == LIMITS.maximum:
            return decision, now
        count, pages = decision.target, pages_then


def test_growth_stops_at_the_instance_without_gain() -> None:
    """Two cores: a third and a fourth process add nothing."""
    decision, _ = climb({1: 1.7, 2: 3.3, 3: 3.3, 4: 3.3})
    assert (decision.target, decision.reason) == (3, "NoGain")
    assert "the last instance gained nothing: 3.3" in decision.sentence
    assert "pages/s with 2, 3.3" in decision.sentence


def test_growth_continues_while_each_instance_adds_throughput() -> None:
    decision, _ = climb({count: 5.0 * count for count in range(1, 9)})
    assert decision.target == LIMITS.maximum


def test_only_memory_counts_without_load() -> None:
    decision, seconds = climb(dict.fromkeys(range(1, 9), 0.0), queued=0)
    assert decision.target == LIMITS.maximum
    assert seconds < 8 * 3 * 5


def test_growth_waits_at_most_a_minute_for_the_measurement() -> None:
    _, seconds = climb({count: 0.3 * count for count in range(1, 9)})
    assert seconds < 8 * 80


@pytest.mark.parametrize("restart", [3, 2])
def test_decreasing_counters_are_ignored(restart: int) -> None:
    history = InstanceHistory()
    for seen, _ in looks({2: 4.0}, count=2, pages=500):
        history = plan_instances(LIMITS, history, seen, 0.0).history
    fresh = state(12 * GI, each=[instance()] * restart, counters=Counters(boots=restart), queued=5)
    decision = plan_instances(LIMITS, history, fresh, 1.0)
    assert decision.history.throughput.now.pages == 0
