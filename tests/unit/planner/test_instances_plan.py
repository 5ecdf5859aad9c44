"""The rule of docs/scaling.md, one test for each part of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ocrpool.planner.instances.plan import margin, plan_instances
from ocrpool.planner.instances.types import InstanceHistory, InstanceLimits
from ocrpool.protocol import Counters, Problem, State
from tests.states import GI, LIMITS, MI, decide, instance, state

ROOMY = state(6 * GI)


def test_grows_by_one_after_two_observations_with_headroom() -> None:
    once, twice = decide(ROOMY), decide(ROOMY, ROOMY)
    assert (once.target, once.reason) == (3, "Hold")
    assert (twice.target, twice.reason) == (4, "Grow")
    assert twice.sentence == (
        "3 → 4: headroom 5Gi (6Gi free − 1Gi reserve − 0 promised) ≥ 1.4Gi "
        "(1Gi footprint + 358.4Mi margin)"
    )


def test_headroom_for_exactly_one_instance_is_enough() -> None:
    need = 2 * GI + margin(LIMITS)
    exact, short = state(need), state(need - 1)
    assert decide(exact, exact).target == 4
    decision = decide(short, short)
    assert decision.target == 3
    assert "headroom 1.3Gi (" in decision.sentence
    assert "< 1.4Gi (1Gi footprint + 358.4Mi margin)" in decision.sentence


def test_promised_memory_counts_as_used() -> None:
    half = state(3 * GI, each=[instance(GI // 2)] * 3)
    decision = decide(half, half)
    assert decision.target == 3
    assert "1.5Gi promised" in decision.sentence


def test_does_not_grow_while_an_instance_starts_or_is_missing() -> None:
    booting = state(9 * GI, each=[instance(), instance(0, "booting")])
    missing = state(9 * GI, each=[instance()], target=2)
    for one in (booting, missing):
        decision = decide(one, one, one)
        assert (decision.target, decision.reason) == (2, "Booting")
        assert "1 of 2 instances are ready" in decision.sentence


def test_memory_of_a_starting_instance_counts_once() -> None:
    """Half of its memory has gone from `free`, and the worker does not know its size yet."""
    before = state(3 * GI, each=[instance()])
    during = state(int(2.5 * GI), each=[instance(), instance(0, "booting")])
    decision = decide(before, during, during, during)
    assert decision.reason == "Booting"
    assert decision.history.left == 2 * GI


def test_does_not_grow_beyond_max_or_ceiling() -> None:
    most = decide(ROOMY, ROOMY, limits=replace(LIMITS, maximum=3))
    assert (most.target, most.reason) == (3, "AtMax")
    own = state(6 * GI, ceiling=3)
    assert decide(own, own).reason == "AtCeiling"
    lowered = decide(state(6 * GI, ceiling=2))
    assert (lowered.target, lowered.reason) == (2, "AtCeiling")


def test_lowered_max_takes_effect_at_once() -> None:
    decision = decide(ROOMY, limits=replace(LIMITS, maximum=2))
    assert (decision.target, decision.reason) == (2, "Limits")


def test_growth_to_min_uses_the_reserve_but_only_free_memory() -> None:
    limits = replace(LIMITS, minimum=5)
    enough, short = state(GI), state(GI - 1)
    assert decide(enough, limits=limits).target == 4
    decision = decide(short, limits=limits)
    assert (decision.target, decision.reason) == (3, "InsufficientMemory")


def test_shrinks_at_once_by_as_many_as_are_missing() -> None:
    keep = math.ceil(1.25 * GI)
    assert decide(state(keep)).target == 3
    decision = decide(state(keep - 1))
    assert (decision.target, decision.reason) == (2, "Shrink")
    assert decision.sentence == (
        "3 → 2: left 1342177279 (1.2Gi free − 0 promised) < 1342177280, 1.25 × the 1Gi reserve; "
        "missing 1 (1.2Gi − 1.2Gi left) ≤ 1 × 1Gi footprint"
    )
    assert decide(state(keep - GI - 1)).target == 1
    promised = state(GI // 2, each=[instance(GI // 4)] * 3)
    assert decide(promised).target == 1


def test_keeps_more_if_other_processes_took_more_than_the_reserve() -> None:
    """2 GiB were taken, so 2.5 GiB must be left, but only 2.4 GiB are."""
    decision = decide(
        state(int(4.4 * GI), each=[instance()] * 6), state(int(2.4 * GI), each=[instance()] * 6)
    )
    assert (decision.target, decision.reason) == (5, "Shrink")
    assert (
        "< 2.5Gi, 1.25 × 2Gi taken by other processes since the last observation"
        in decision.sentence
    )


def test_larger_footprint_lowers_the_count_at_once() -> None:
    """A page larger than all before raises the footprint, so the count falls."""
    before = state(int(1.5 * GI))
    after = state(
        int(1.1 * GI),
        each=[instance(int(1.4 * GI)), instance(), instance()],
        footprint=int(1.4 * GI),
    )
    decision = decide(before, after)
    assert decision.reason == "Shrink"
    assert decision.target < 3


def test_retiring_instances_do_not_cause_another_shrink() -> None:
    low = state(GI // 2)
    leaving = state(GI // 2, each=[instance(), instance(), instance(GI, "retiring")])
    decision = decide(low, low, leaving, leaving, leaving)
    assert decision.target == 2


def test_does_not_shrink_below_min() -> None:
    low = state(0)
    decision = decide(low, low, limits=replace(LIMITS, minimum=3))
    assert (decision.target, decision.reason) == (3, "InsufficientMemory")
    assert "instances.min is 3" in decision.sentence


def test_does_not_grow_during_the_cool_down() -> None:
    low = state(GI // 2)
    shrunk = decide(low, low)
    headroom_streak = state(6 * GI, each=[instance()] * 2)
    history = shrunk.history
    for now in (10.0, 15.0, 64.0):
        decision = plan_instances(LIMITS, history, headroom_streak, now)
        history = decision.history
        assert decision.target == 2
    assert decision.reason == "CoolDown"
    assert plan_instances(LIMITS, history, headroom_streak, 65.0).target == 3


def test_reverted_growth_doubles_the_cool_down() -> None:
    history = decide(state(0), state(0)).history  # at 5 s
    two = state(6 * GI, each=[instance()] * 2)
    for now in (60.0, 65.0):
        grown = plan_instances(LIMITS, history, two, now)
        history = grown.history
    assert grown.target == 3
    shrunk = plan_instances(LIMITS, history, state(0), 70.0)
    assert (shrunk.reason, shrunk.history.grow_after) == ("Shrink", 70.0 + 2 * LIMITS.cool_down)
    more = plan_instances(LIMITS, shrunk.history, state(0, each=[instance()] * 2), 75.0)
    assert (more.reason, more.history.grow_after) == ("Shrink", 75.0 + 2 * LIMITS.cool_down)


def _out_of_memory(reports: int, free: int = 6 * GI, ceiling: int = 8) -> State:
    return state(free, ceiling=ceiling, counters=Counters(boots=10, out_of_memory=reports))


def test_out_of_memory_shrinks_at_once_and_starts_a_cool_down() -> None:
    decision = decide(_out_of_memory(0), _out_of_memory(1))
    assert (decision.target, decision.reason) == (2, "Shrink")
    assert decision.history.grow_after == 5.0 + LIMITS.cool_down
    again = state(6 * GI, each=[instance()] * 2, counters=Counters(boots=10, out_of_memory=1))
    assert plan_instances(LIMITS, decision.history, again, 10.0).target == 2


def test_earlier_out_of_memory_reports_are_ignored() -> None:
    assert decide(_out_of_memory(7)).target == 3


def test_lowered_ceiling_does_not_shrink_twice() -> None:
    assert decide(_out_of_memory(0), _out_of_memory(1, ceiling=2)).target == 2


def test_one_instance_runs_until_the_footprint_is_measured() -> None:
    unknown = state(9 * GI, each=[instance(0, "booting")], footprint=0)
    decision = decide(unknown, unknown, unknown)
    assert (decision.target, decision.reason) == (1, "NotMeasured")
    assert decide(state(9 * GI, each=[], footprint=0)).target == 1


@pytest.mark.parametrize(
    ("seen", "reason", "said"),
    [
        (state(None), "DeviceUnreadable", "cannot be read"),
        (
            state(None, problem=Problem(reason="DeviceLost", message="it fell off the bus")),
            "DeviceLost",
            "cannot be read: it fell off the bus",
        ),
        (state(25 * GI), "ImplausibleFigures", "free of"),
        (state(-1), "ImplausibleFigures", "-1 bytes free"),
        (state(0, total=0), "ImplausibleFigures", "0 bytes of memory"),
        (state(GI, footprint=-5), "ImplausibleFigures", "negative memory of an instance"),
        (state(GI, each=[instance(-5)]), "ImplausibleFigures", "negative memory of an instance"),
        (state(GI, target=-1), "ImplausibleFigures", "negative number of instances"),
        (
            state(9 * GI, counters=Counters(boots=1, page_seconds=float("nan"))),
            "ImplausibleFigures",
            "pageSeconds nan",
        ),
        (state(9 * GI, draining=True), "Draining", "is draining"),
        (
            state(9 * GI, total=10 * GI, each=[], footprint=10 * GI),
            "InsufficientMemory",
            "9Gi (9Gi free − 0 promised) < 10Gi footprint",
        ),
        (
            state(
                GI,
                each=[],
                target=1,
                footprint=0,
                problem=Problem(reason="InsufficientMemory", message="does not fit"),
            ),
            "InsufficientMemory",
            "does not fit",
        ),
    ],
)
def test_holds_without_usable_figures(seen: State, reason: str, said: str) -> None:
    decision = decide(seen, seen, seen)
    assert (decision.target, decision.reason) == (seen.instances.target, reason)
    assert said in decision.sentence


def test_reserve_larger_than_the_device_is_reported() -> None:
    only = state(23 * GI, each=[instance()])
    decision = decide(only, only, limits=InstanceLimits(1, 8, 24 * GI))
    assert (decision.target, decision.reason) == (1, "InsufficientMemory")
    assert "memory.reserve 24Gi ≥ 24Gi of the device" in decision.sentence


def test_footprint_larger_than_the_device_is_reported() -> None:
    none = state(9 * GI, total=10 * GI, each=[], footprint=10 * GI)
    decision = decide(none, none, limits=InstanceLimits(0, 8, GI))
    assert (decision.target, decision.reason) == (0, "InsufficientMemory")
    assert (
        "not even one instance fits: 11Gi (10Gi footprint + 1Gi reserve) > 10Gi"
        in decision.sentence
    )


def test_per_instance_memory_counts_if_larger_than_the_footprint() -> None:
    two = state(4 * GI, each=[instance(), instance()])
    decision = decide(two, two, limits=replace(LIMITS, per_instance=2 * GI))
    assert decision.target == 2
    assert "2Gi promised" in decision.sentence


def test_unusable_observation_resets_the_streak() -> None:
    assert decide(ROOMY, state(None), ROOMY).target == 3
    assert decide(ROOMY, state(int(1.8 * GI)), ROOMY).target == 3


def test_does_not_grow_while_other_processes_take_memory() -> None:
    going = [state(6 * GI - step * 200 * MI) for step in range(4)]
    decision = decide(*going)
    assert decision.target == 3
    assert "taken by other processes since the last observation" in decision.sentence


def test_memory_taken_by_others_during_a_startup_shrinks() -> None:
    """The starting instance has its 1 GiB; further memory may be that of other processes."""
    before = state(4 * GI, each=[instance()] * 2)
    booting = [instance()] * 2 + [instance(0, "booting")]
    hidden, racing = state(int(3.1 * GI), each=booting), state(int(1.7 * GI), each=booting)
    assert decide(before, hidden).reason == "Booting"
    decision = decide(before, hidden, racing)
    assert (decision.target, decision.reason) == (1, "Shrink")
    assert "1.25 × 1.4Gi taken by other processes since the last observation" in decision.sentence
    assert "+ 1.4Gi taken during a start − " in decision.sentence


def test_fast_startup_is_not_attributed_to_other_processes() -> None:
    before = state(int(2.5 * GI), each=[instance()])
    during = state(int(1.4 * GI), each=[instance(), instance(0, "booting")])
    assert decide(before, during, during).reason == "Booting"


def test_whole_reserve_at_min_is_not_a_problem() -> None:
    """At the minimum nothing shrinks. Only a reserve that is in use is a problem."""
    whole, touched = state(GI, each=[instance()]), state(GI - 1, each=[instance()])
    assert decide(whole, whole).reason == "Hold"
    decision = decide(touched, touched)
    assert (decision.target, decision.reason) == (1, "InsufficientMemory")
    assert "but instances.min is 1" in decision.sentence


def test_restarted_worker_cools_down() -> None:
    """Its container may have been killed for its memory, and its counters are lost."""
    old = decide(_out_of_memory(0)).history
    fresh = state(6 * GI, each=[instance()], counters=Counters(boots=1))
    history = old
    for now in (10.0, 15.0, 69.0):
        decision = plan_instances(LIMITS, history, fresh, now)
        history = decision.history
        assert (decision.target, decision.reason) == (1, "CoolDown")
    assert plan_instances(LIMITS, history, fresh, 70.0).target == 2


def test_restart_after_each_growth_doubles_the_cool_down() -> None:
    fresh = state(6 * GI, each=[instance()], counters=Counters(boots=1))
    two = state(5 * GI, each=[instance()] * 2, counters=Counters(boots=2))
    history, now, waits = InstanceHistory(boots=10), 0.0, []
    for _ in range(4):
        history = plan_instances(LIMITS, history, fresh, now).history
        waits.append(history.grow_after - now)
        grown = plan_instances(LIMITS, history, fresh, history.grow_after)
        assert grown.target == 2
        history = plan_instances(LIMITS, grown.history, two, history.grow_after + 5).history
        now = grown.history.grow_after + 10
    assert waits == [LIMITS.cool_down * factor for factor in (1, 2, 4, 4)]
