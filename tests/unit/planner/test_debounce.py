"""Which decision the status shows: a new target at once, a new reason once it is stable."""

from __future__ import annotations

from ocrpool.planner.instances.types import InstanceDecision, InstanceHistory, InstanceReason
from ocrpool.planner.status.debounce import OBSERVATIONS_TO_CLEAR, ReportedDecision, debounce


def hold(why: str, reason: InstanceReason = "Hold", target: int = 3) -> InstanceDecision:
    return InstanceDecision(target, reason, f"{target}: hold, {why}", InstanceHistory())


SHORT = hold("headroom 204.8Mi (1.2Gi free − 1Gi reserve − 0 promised) < 1.4Gi footprint")
ONCE = hold(
    "headroom 1.5Gi (2.5Gi free − 1Gi reserve − 0 promised) ≥ 1.4Gi footprint, "
    "observed 1 of 2 times in a row"
)
STUCK = hold("left 100Mi < 896Mi; but instances.min is 3", "InsufficientMemory")


def after(*decisions: InstanceDecision, told: ReportedDecision | None = None) -> str:
    for each in decisions:
        told = debounce(told, each, step=False)
    assert told is not None
    return told.decision.sentence


def test_reason_of_a_single_observation_is_not_shown() -> None:
    assert after(SHORT, ONCE) == SHORT.sentence
    assert after(SHORT, ONCE, SHORT, ONCE, SHORT, ONCE) == SHORT.sentence
    assert after(SHORT, ONCE, ONCE) == ONCE.sentence


def test_alternating_reasons_are_not_shown() -> None:
    full = hold("instances.max is 3", "AtMax")

    assert after(SHORT, ONCE, full, ONCE, full) == SHORT.sentence


def test_numbers_are_updated_while_the_reason_stays() -> None:
    less = hold("headroom −0.1Gi (0.9Gi free − 1Gi reserve − 0 promised) < 1.4Gi footprint")

    assert after(SHORT, less) == less.sentence


def test_new_target_is_shown_at_once() -> None:
    step = InstanceDecision(4, "Grow", "3 → 4: room 5.1Gi ≥ 1.4Gi footprint", InstanceHistory())

    assert debounce(ReportedDecision(SHORT), step, step=True) == ReportedDecision(step)


def test_problem_is_cleared_only_after_several_observations() -> None:
    assert after(SHORT, STUCK) == SHORT.sentence
    assert after(SHORT, STUCK, STUCK) == STUCK.sentence
    gone = [SHORT] * OBSERVATIONS_TO_CLEAR
    assert after(STUCK, *gone[1:]) == STUCK.sentence
    assert after(STUCK, *gone) == SHORT.sentence
    assert after(STUCK, *gone[1:], STUCK, *gone[1:]) == STUCK.sentence
