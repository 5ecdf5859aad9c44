"""States of a worker with defaults, for tests of the planner and the operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ocrpool.planner.instances.plan import plan_instances
from ocrpool.planner.instances.types import InstanceDecision, InstanceHistory, InstanceLimits
from ocrpool.planner.simulated_state import simulated_device, simulated_instance, simulated_state
from ocrpool.protocol import Counters, Instance, InstanceState, State

MI, GI = 2**20, 2**30
LIMITS = InstanceLimits(minimum=1, maximum=8, reserve=GI)


def instance(held: int = GI, state: InstanceState = "idle") -> Instance:
    return simulated_instance(held, state)


def state(
    free: int | None,
    *,
    total: int = 24 * GI,
    each: Sequence[Instance] = (instance(), instance(), instance()),
    footprint: int = GI,
    **more: Any,
) -> State:
    """Three idle instances of 1 GiB each on a device of 24 GiB, unless other values are given."""
    more = {"counters": Counters(boots=10), **more}
    return simulated_state(simulated_device(total, free), each, footprint=footprint, **more)


def decide(
    *states: State,
    limits: InstanceLimits = LIMITS,
    history: InstanceHistory | None = None,
    every: float = 5.0,
) -> InstanceDecision:
    """Return the decision after the last of these observations, `every` seconds apart."""
    now, decision = 0.0, None
    history = history or InstanceHistory()
    for one in states:
        decision = plan_instances(limits, history, one, now)
        history = decision.history
        now += every
    assert decision is not None
    return decision
