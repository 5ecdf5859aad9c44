"""The rule of docs/scaling.md, one test for each of its sentences."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ocrpool.planner.instances.plan import margin, plan_instances
from ocrpool.planner.instances.types import InstanceHistory, InstanceLimits
from ocrpool.protocol import Counters, Problem, State
from tests.states import GI, LIMITS, MI, decide, instance, state

ROOMY = state(6 * GI)


def test_it_grows_by_one_after_two_looks_with_room() -> None:
    once, twice = decide(ROOMY), decide(ROOMY, ROOMY)
    assert (once.target, once.reason) == (3, "Hold")
    assert (twice.target, twice.reason) == (4, "Grow")
    assert twice.sentence == (
        "3 → 4: headroom 5Gi (6Gi free − 1Gi reserve − 0 promised) ≥ 1.4Gi "
        "(1Gi footprint + 358.4Mi margin)"
    )


def test_room_for_exactly_one_is_room_enough_and_a_byte_less_is_not() -> None:
    need = 2 * GI + margin(LIMITS)
    exact, short = state(need), state(need - 1)
    assert decide(exact, exact).target == 4
    decision = decide(short, short)
    assert decision.target == 3
    assert "headroom 1.3Gi (" in decision.sentence
    assert "< 1.4Gi (1Gi footprint + 358.4Mi margin)" in decision.sentence


def test_what_instances_may_still_take_counts_as_taken() -> None:
    half = state(3 * GI, each=[instance(GI // 2)] * 3)
    decision = decide(half, half)
    assert decision.target == 3
    assert "1.5Gi promised" in decision.sentence


def test_it_never_grows_while_one_boots_or_is_missing() -> None:
    booting = state(9 * GI, each=[instance(), instance(0, "booting")])
    missing = state(9 * GI, each=[instance()], target=2)
    for one in (booting, missing):
        decision = decide(one, one, one)
        assert (decision.target, decision.reason) == (2, "Booting")
        assert "1 of 2 instances are ready" in decision.sentence


def test_a_booting_instance_is_not_counted_twice() -> None:
    """Half of it is gone from `free` already, and the worker cannot tell yet whose it is."""
    before = state(3 * GI, each=[instance()])
    during = state(int(2.5 * GI), each=[instance(), instance(0, "booting")])
    decision = decide(before, during, during, during)
    assert decision.reason == "Booting"
    assert decision.history.left == 2 * GI


def test_max_and_ceiling_are_honoured() -> None:
    most = decide(ROOMY, ROOMY, limits=replace(LIMITS, maximum=3))
    assert (most.target, most.reason) == (3, "AtMax")
    own = state(6 * GI, ceiling=3)
    assert decide(own, own).reason == "AtCeiling"
    lowered = decide(state(6 * GI, ceiling=2))
    assert (lowered.target, lowered.reason) == (2, "AtCeiling")


def test_a_lowered_max_is_followed_at_once() -> None:
    decision = decide(ROOMY, limits=replace(LIMITS, maximum=2))
    assert (decision.target, decision.reason) == (2, "Limits")


def test_min_may_use_the_reserve_but_no_memory_that_is_not_there() -> None:
    limits = replace(LIMITS, minimum=5)
    enough, short = state(GI), state(GI - 1)
    assert decide(enough, limits=limits).target == 4
    decision = decide(short, limits=limits)
    assert (decision.target, decision.reason) == (3, "InsufficientMemory")


def test_it_shrinks_at_once_by_as_many_as_bring_back_what_is_to_be_kept() -> None:
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


def test_it_keeps_more_where_others_take_more_than_the_reserve_in_one_look() -> None:
    """2 Gi went, so 2.5 Gi are to be left, and only 2.4 Gi are."""
    decision = decide(
        state(int(4.4 * GI), each=[instance()] * 6), state(int(2.4 * GI), each=[instance()] * 6)
    )
    assert (decision.target, decision.reason) == (5, "Shrink")
    assert (
        "< 2.5Gi, 1.25 × 2Gi taken by other processes since the last observation"
        in decision.sentence
    )


def test_a_new_peak_is_planned_with_at_once() -> None:
    """A page larger than all before: the footprint goes up, and the count down."""
    before = state(int(1.5 * GI))
    after = state(
        int(1.1 * GI),
        each=[instance(int(1.4 * GI)), instance(), instance()],
        footprint=int(1.4 * GI),
    )
    decision = decide(before, after)
    assert decision.reason == "Shrink"
    assert decision.target < 3


def test_leaving_instances_are_not_shrunk_for_again() -> None:
    low = state(GI // 2)
    leaving = state(GI // 2, each=[instance(), instance(), instance(GI, "retiring")])
    decision = decide(low, low, leaving, leaving, leaving)
    assert decision.target == 2


def test_never_below_min() -> None:
    low = state(0)
    decision = decide(low, low, limits=replace(LIMITS, minimum=3))
    assert (decision.target, decision.reason) == (3, "InsufficientMemory")
    assert "instances.min is 3" in decision.sentence


def test_no_growth_in_the_cool_down_after_a_shrink() -> None:
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


def test_a_growth_that_was_taken_back_makes_the_next_cool_down_longer() -> None:
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


def test_an_out_of_memory_report_shrinks_at_once_and_cools_down() -> None:
    decision = decide(_out_of_memory(0), _out_of_memory(1))
    assert (decision.target, decision.reason) == (2, "Shrink")
    assert decision.history.grow_after == 5.0 + LIMITS.cool_down
    again = state(6 * GI, each=[instance()] * 2, counters=Counters(boots=10, out_of_memory=1))
    assert plan_instances(LIMITS, decision.history, again, 10.0).target == 2


def test_reports_from_before_our_time_are_no_news() -> None:
    assert decide(_out_of_memory(7)).target == 3


def test_a_ceiling_that_the_worker_lowered_by_itself_is_not_shrunk_for_twice() -> None:
    assert decide(_out_of_memory(0), _out_of_memory(1, ceiling=2)).target == 2


def test_without_a_footprint_there_is_one_instance_and_no_more() -> None:
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
def test_nothing_is_done_with_what_cannot_be_planned_with(
    seen: State, reason: str, said: str
) -> None:
    decision = decide(seen, seen, seen)
    assert (decision.target, decision.reason) == (seen.instances.target, reason)
    assert said in decision.sentence


def test_a_reserve_larger_than_the_card_is_said() -> None:
    only = state(23 * GI, each=[instance()])
    decision = decide(only, only, limits=InstanceLimits(1, 8, 24 * GI))
    assert (decision.target, decision.reason) == (1, "InsufficientMemory")
    assert "memory.reserve 24Gi ≥ 24Gi of the device" in decision.sentence


def test_a_footprint_that_does_not_fit_even_once_is_said() -> None:
    none = state(9 * GI, total=10 * GI, each=[], footprint=10 * GI)
    decision = decide(none, none, limits=InstanceLimits(0, 8, GI))
    assert (decision.target, decision.reason) == (0, "InsufficientMemory")
    assert (
        "not even one instance fits: 11Gi (10Gi footprint + 1Gi reserve) > 10Gi"
        in decision.sentence
    )


def test_a_cap_is_planned_with_where_it_is_larger_than_what_was_measured() -> None:
    two = state(4 * GI, each=[instance(), instance()])
    decision = decide(two, two, limits=replace(LIMITS, per_instance=2 * GI))
    assert decision.target == 2
    assert "2Gi promised" in decision.sentence


def test_a_hiccup_between_two_looks_begins_the_count_again() -> None:
    assert decide(ROOMY, state(None), ROOMY).target == 3
    assert decide(ROOMY, state(int(1.8 * GI)), ROOMY).target == 3


def test_no_boot_begins_while_memory_is_going() -> None:
    going = [state(6 * GI - step * 200 * MI) for step in range(4)]
    decision = decide(*going)
    assert decision.target == 3
    assert "taken by other processes since the last observation" in decision.sentence


def test_a_boot_that_a_stranger_races_with_is_given_up() -> None:
    """The boot has had its 1 Gi and more; what goes now may all be the stranger's."""
    before = state(4 * GI, each=[instance()] * 2)
    booting = [instance()] * 2 + [instance(0, "booting")]
    hidden, racing = state(int(3.1 * GI), each=booting), state(int(1.7 * GI), each=booting)
    assert decide(before, hidden).reason == "Booting"
    decision = decide(before, hidden, racing)
    assert (decision.target, decision.reason) == (1, "Shrink")
    assert "1.25 × 1.4Gi taken by other processes since the last observation" in decision.sentence
    assert "+ 1.4Gi taken during a start − " in decision.sentence


def test_a_boot_that_takes_its_whole_footprint_in_one_look_is_no_stranger() -> None:
    before = state(int(2.5 * GI), each=[instance()])
    during = state(int(1.4 * GI), each=[instance(), instance(0, "booting")])
    assert decide(before, during, during).reason == "Booting"


def test_at_the_least_number_a_whole_reserve_is_no_trouble() -> None:
    """It would give one up, were it not the last; only a touched reserve is worth a word."""
    whole, touched = state(GI, each=[instance()]), state(GI - 1, each=[instance()])
    assert decide(whole, whole).reason == "Hold"
    decision = decide(touched, touched)
    assert (decision.target, decision.reason) == (1, "InsufficientMemory")
    assert "but instances.min is 1" in decision.sentence


def test_a_worker_that_was_started_again_cools_down_like_one_that_shrank() -> None:
    """Its container may have been ended for want of memory, with all that it knew of it."""
    old = decide(_out_of_memory(0)).history
    fresh = state(6 * GI, each=[instance()], counters=Counters(boots=1))
    history = old
    for now in (10.0, 15.0, 69.0):
        decision = plan_instances(LIMITS, history, fresh, now)
        history = decision.history
        assert (decision.target, decision.reason) == (1, "CoolDown")
    assert plan_instances(LIMITS, history, fresh, 70.0).target == 2


def test_a_worker_that_ends_soon_after_each_growth_waits_longer_each_time() -> None:
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
