"""The life cycle of an instance: its states, and which trigger leads from one to the next.

`transition` is the only place that sets an instance's state. docs/instance-lifecycle.md draws the
same table; a unit test compares the two.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from ocrpool.protocol import InstanceState

_log = logging.getLogger(__name__)


class LifecycleState(StrEnum):
    """What an instance is doing."""

    STARTING = "starting"  # builds its engine and reads the warm-up pages
    IDLE = "idle"  # is warm and has no work
    BUSY = "busy"  # has a work item
    DRAINING = "draining"  # was asked to exit, and finishes its work item first
    STOPPING = "stopping"  # was asked to exit, and has no work
    KILLED = "killed"  # gets, or got, a SIGKILL from its supervisor
    EXITED = "exited"  # has no process any more


class Trigger(StrEnum):
    """What changes a state."""

    READY = "ready"  # the warm-up is over
    ASSIGN = "assign"  # gets a work item
    ANSWER = "answer"  # has answered its work item
    RETIRE = "retire"  # is to exit when its work is done
    KILL = "kill"  # is to exit now
    EXIT = "exit"  # the process has exited


_S, _T = LifecycleState, Trigger
TRANSITIONS: Mapping[LifecycleState, Mapping[Trigger, LifecycleState]] = {
    # A starting instance holds nothing of a client's and does not read its socket: it is killed.
    _S.STARTING: {
        _T.READY: _S.IDLE,
        _T.RETIRE: _S.KILLED,
        _T.KILL: _S.KILLED,
        _T.EXIT: _S.EXITED,
    },
    _S.IDLE: {
        _T.ASSIGN: _S.BUSY,
        _T.RETIRE: _S.STOPPING,
        _T.KILL: _S.KILLED,
        _T.EXIT: _S.EXITED,
    },
    _S.BUSY: {
        _T.ANSWER: _S.IDLE,
        _T.RETIRE: _S.DRAINING,
        _T.KILL: _S.KILLED,
        _T.EXIT: _S.EXITED,
    },
    _S.DRAINING: {_T.ANSWER: _S.STOPPING, _T.KILL: _S.KILLED, _T.EXIT: _S.EXITED},
    _S.STOPPING: {_T.KILL: _S.KILLED, _T.EXIT: _S.EXITED},
    # An answer that was sent before the kill is still delivered.
    _S.KILLED: {_T.ANSWER: _S.KILLED, _T.KILL: _S.KILLED, _T.EXIT: _S.EXITED},
    _S.EXITED: {},
}

# An active instance counts towards the desired number.
ACTIVE = frozenset({_S.STARTING, _S.IDLE, _S.BUSY})
WARM = frozenset({_S.IDLE, _S.BUSY})

# The state as `GET /v1/state` reports it.
REPORTED: Mapping[LifecycleState, InstanceState] = {
    _S.STARTING: "booting",
    _S.IDLE: "idle",
    _S.BUSY: "busy",
    _S.DRAINING: "retiring",
    _S.STOPPING: "retiring",
    _S.KILLED: "retiring",
    _S.EXITED: "retiring",
}


class IllegalTransition(Exception):
    """A trigger that the table does not allow: a bug in the supervisor."""


class HasLifecycle(Protocol):
    """`state_since` is when `state` was entered, on the manager's clock."""

    ident: str
    state: LifecycleState
    state_since: float


def transition(instance: HasLifecycle, trigger: Trigger, now: float) -> None:
    """Move the instance to its next state. Raises IllegalTransition, and changes nothing then."""
    before = instance.state
    after = TRANSITIONS[before].get(trigger)
    if after is None:
        raise IllegalTransition(f"{instance.ident}: {trigger} is not allowed while {before}")
    instance.state, instance.state_since = after, now
    if _log.isEnabledFor(logging.DEBUG):
        extra = {"instance": instance.ident, "trigger": trigger, "from": before, "to": after}
        _log.debug("instance state", extra=extra)
