"""The numbers in the sentence of every decision add up, whatever the worker reports."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from ocrpool.planner.instances.plan import plan_instances
from ocrpool.planner.instances.types import InstanceDecision, InstanceHistory, InstanceLimits
from ocrpool.protocol import Counters, InstanceState, State
from ocrpool.protocol.quantity import parse_bytes
from tests.states import GI, instance, state

SIZE = r"−?[\d.]+(?:[KMGT]i)?"
ROOM = re.compile(
    rf"headroom ({SIZE}) \(({SIZE}) free − ({SIZE}) reserve − ({SIZE}) promised\) (≥|<) "
    rf"({SIZE}) \(({SIZE}) footprint \+ ({SIZE}) margin\)"
)
LEFT = re.compile(
    rf"left ({SIZE}) \(({SIZE}) free − ({SIZE}) promised(?: \+ ({SIZE}) returning)?\) < ({SIZE})"
)
MISSING = re.compile(
    rf"missing ({SIZE}) \(({SIZE})(?: \+ ({SIZE}) taken during a start)? − ({SIZE}) left\) "
    rf"≤ (\d+) × ({SIZE}) footprint"
)
STEP = re.compile(r"(\d+) → (\d+): ")

KINDS: list[InstanceState] = ["idle", "busy", "booting", "retiring"]
sizes = st.one_of(st.integers(0, 30 * GI), st.sampled_from([0, 1, GI - 1, GI, GI + 1, 2 * GI]))


@st.composite
def observations(draw: st.DrawFn) -> State:
    footprint = draw(sizes)
    each = [
        instance(draw(st.one_of(st.just(footprint), sizes)), draw(st.sampled_from(KINDS)))
        for _ in range(draw(st.integers(0, 6)))
    ]
    return state(
        draw(st.integers(0, 24 * GI)),
        each=each,
        footprint=footprint,
        target=draw(st.one_of(st.none(), st.integers(0, 9))),
        ceiling=draw(st.integers(1, 9)),
        counters=Counters(boots=10, out_of_memory=draw(st.sampled_from([0, 0, 0, 1, 2]))),
    )


@st.composite
def limits(draw: st.DrawFn) -> InstanceLimits:
    least = draw(st.integers(0, 4))
    most = draw(st.integers(max(1, least), 9))
    return InstanceLimits(least, most, draw(sizes), draw(st.one_of(st.none(), sizes)))


def exact(text: str) -> tuple[float, float]:
    """Return the number in a text and its possible rounding error."""
    sign, digits = (-1, text[1:]) if text.startswith("−") else (1, text)
    unit = 1 if digits[-1].isdigit() else parse_bytes("1" + digits[-2:])
    return sign * float(parse_bytes(digits)), 0 if unit == 1 else unit * 0.0501


def adds_up(result: str, *parts: tuple[int, str]) -> None:
    """Check that the signed parts add up to the result, except for rounding."""
    value, slack = exact(result)
    total = 0.0
    for sign, text in parts:
        number, more = exact(text)
        total += sign * number
        slack += more
    assert abs(total - value) <= slack


def check(decision: InstanceDecision, seen: State, bounds: InstanceLimits) -> None:
    sentence, target = decision.sentence, seen.instances.target
    step = STEP.match(sentence)
    if step:
        assert (int(step[1]), int(step[2])) == (target, decision.target)
        assert target != decision.target
    else:
        assert sentence.startswith(f"{target}: hold, ")
        assert decision.target == target
    room = ROOM.search(sentence)
    if room:
        adds_up(room[1], (1, room[2]), (-1, room[3]), (-1, room[4]))
        adds_up(room[6], (1, room[7]), (1, room[8]))
        assert (exact(room[1])[0] >= exact(room[6])[0]) == (room[5] == "≥")
    left = LEFT.search(sentence)
    if left:
        adds_up(left[1], (1, left[2]), (-1, left[3]), (1, left[4] or "0"))
        assert exact(left[1])[0] < exact(left[5])[0]
    missing = MISSING.search(sentence)
    if missing:
        adds_up(missing[1], (1, missing[2]), (1, missing[3] or "0"), (-1, missing[4]))
        need, slack = exact(missing[1])
        each, more = exact(missing[6])
        fewer = int(missing[5])
        assert fewer * (each + more) >= need - slack
        assert (fewer - 1) * (each - more) < need + slack
    if decision.reason == "Grow":
        assert room is not None
        assert decision.target == target + 1 <= min(bounds.maximum, seen.instances.ceiling)
    if decision.reason == "Shrink":
        assert decision.target < target
        assert decision.target >= bounds.minimum
    assert "\n" not in sentence


@settings(deadline=None, max_examples=300)
@given(bounds=limits(), seen=st.lists(observations(), min_size=1, max_size=6))
def test_numbers_in_every_sentence_add_up(bounds: InstanceLimits, seen: list[State]) -> None:
    history = InstanceHistory()
    for look, one in enumerate(seen):
        decision = plan_instances(bounds, history, one, look * 5.0)
        check(decision, one, bounds)
        history = decision.history


@settings(deadline=None, max_examples=200)
@given(bounds=limits(), one=observations())
def test_unchanged_state_never_leads_to_both_growth_and_shrink(
    bounds: InstanceLimits, one: State
) -> None:
    """Repeated observations of the same state never lead to growth and to a shrink."""
    history, ways = InstanceHistory(), set()
    for look in range(6):
        decision = plan_instances(bounds, history, one, look * 5.0)
        history = decision.history
        if decision.target != one.instances.target:
            ways.add(decision.target > one.instances.target)
    assert len(ways) <= 1
