"""A fixed number of instances, as people set it by hand: as many as fit at the start."""

from __future__ import annotations

from dataclasses import replace

from ocrpool.planner.instances.plan import plan_instances
from ocrpool.planner.instances.types import InstanceDecision, InstanceHistory, InstanceLimits
from ocrpool.protocol import State


class FixedCount:
    """Grows by the real rule until the memory is full for the first time, then keeps that number.
    One object for each trace."""

    def __init__(self) -> None:
        self._fixed = False

    def __call__(
        self, limits: InstanceLimits, history: InstanceHistory, state: State, now: float
    ) -> InstanceDecision:
        decision = plan_instances(limits, history, state, now)
        if decision.reason in ("AtMax", "Shrink", "AtCeiling") or "<" in decision.sentence:
            self._fixed = True
        return replace(decision, target=state.instances.target) if self._fixed else decision
