"""The life cycle of an instance: its table, the diagram in docs/, and that nothing bypasses it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

import ocrpool_worker.supervisor
from ocrpool.protocol import InstanceState
from ocrpool_worker.supervisor.lifecycle import (
    ACTIVE,
    REPORTED,
    TRANSITIONS,
    WARM,
    IllegalTransition,
    LifecycleState,
    Trigger,
    transition,
)

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/instance-lifecycle.md").read_text(encoding="utf-8")
SUPERVISOR = Path(ocrpool_worker.supervisor.__file__).parent

EDGES = {
    (before, trigger, after)
    for before, triggers in TRANSITIONS.items()
    for trigger, after in triggers.items()
}


@dataclass
class Stub:
    ident: str = "i1"
    state: LifecycleState = LifecycleState.STARTING
    state_since: float = 0.0


def test_the_diagram_has_exactly_the_edges_of_the_table() -> None:
    drawn = re.findall(r"^ +(\w+) --> (\w+): (\w+)$", PAGE, re.MULTILINE)
    assert {(before, trigger, after) for before, after, trigger in drawn} == EDGES
    assert len(drawn) == len(EDGES)
    assert "[*] --> starting" in PAGE
    assert "exited --> [*]" in PAGE


def test_the_page_names_every_state_and_what_v1_state_reports() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .+ \| (?:`(\w+)`|not listed) \|$", PAGE, re.MULTILINE))
    listed = {state: reported for state, reported in rows.items() if reported}
    assert rows.keys() == {str(state) for state in LifecycleState}
    assert listed == {
        str(state): reported
        for state, reported in REPORTED.items()
        if state is not LifecycleState.EXITED
    }
    triggers = re.findall(r"^\| `(\w+)` \| [^|]+ \|$", PAGE, re.MULTILINE)
    assert triggers == [str(trigger) for trigger in Trigger]


def test_every_state_has_a_row_and_a_reported_value() -> None:
    assert TRANSITIONS.keys() == set(LifecycleState)
    assert REPORTED.keys() == set(LifecycleState)
    assert set(REPORTED.values()) == set(get_args(InstanceState))


def test_every_state_can_be_reached_and_every_process_can_exit() -> None:
    reached = {LifecycleState.STARTING} | {after for _, _, after in EDGES}
    assert reached == set(LifecycleState)
    for state in set(LifecycleState) - {LifecycleState.EXITED}:
        assert TRANSITIONS[state][Trigger.EXIT] is LifecycleState.EXITED
        # The way out of an illegal transition.
        assert TRANSITIONS[state][Trigger.KILL] is LifecycleState.KILLED
    assert not TRANSITIONS[LifecycleState.EXITED]


def test_an_instance_that_was_asked_to_exit_never_becomes_active_again() -> None:
    for before, _, after in EDGES:
        assert before in ACTIVE or after not in ACTIVE
    assert WARM < ACTIVE


@pytest.mark.parametrize("state", LifecycleState)
@pytest.mark.parametrize("trigger", Trigger)
def test_transition_follows_the_table(state: LifecycleState, trigger: Trigger) -> None:
    stub = Stub(state=state)
    after = TRANSITIONS[state].get(trigger)
    if after is None:
        with pytest.raises(IllegalTransition, match=f"i1: {trigger} is not allowed while {state}"):
            transition(stub, trigger, 7.0)
        assert (stub.state, stub.state_since) == (state, 0.0)
    else:
        transition(stub, trigger, 7.0)
        assert (stub.state, stub.state_since) == (after, 7.0)


def test_nothing_but_transition_sets_a_state() -> None:
    setters = set()
    for file in SUPERVISOR.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
            if stored and node.attr in ("state", "state_since"):
                setters.add(file.name)
    assert setters == {"lifecycle.py"}
