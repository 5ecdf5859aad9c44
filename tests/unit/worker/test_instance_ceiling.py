"""The ceiling falls when memory runs out, and rises again."""

from __future__ import annotations

from ocrpool_worker.supervisor.failure_rules import CEILING_COOLDOWN
from ocrpool_worker.supervisor.instance_ceiling import InstanceCeiling
from tests.unit.worker.fake_instances import Clock


def test_it_rises_by_one_after_each_cool_down() -> None:
    clock = Clock()
    ceiling = InstanceCeiling(4, clock)
    assert (ceiling.value, ceiling.raise_when_due()) == (4, None)
    ceiling.lower(2)
    assert (ceiling.raise_when_due(), ceiling.value) == (CEILING_COOLDOWN, 2)
    clock.now += CEILING_COOLDOWN - 1
    assert (ceiling.raise_when_due(), ceiling.value) == (1, 2)
    clock.now += 1
    assert (ceiling.raise_when_due(), ceiling.value) == (CEILING_COOLDOWN, 3)
    clock.now += CEILING_COOLDOWN
    assert (ceiling.raise_when_due(), ceiling.value) == (None, 4)


def test_several_cool_downs_may_pass_at_once() -> None:
    clock = Clock()
    ceiling = InstanceCeiling(4, clock)
    ceiling.lower(1)
    clock.now += 2.5 * CEILING_COOLDOWN
    assert (ceiling.raise_when_due(), ceiling.value) == (0.5 * CEILING_COOLDOWN, 3)


def test_it_is_never_below_one_and_is_not_raised_by_a_larger_number() -> None:
    ceiling = InstanceCeiling(4, Clock())
    ceiling.lower(0)
    assert ceiling.value == 1
    ceiling.lower(3)
    assert ceiling.value == 1
