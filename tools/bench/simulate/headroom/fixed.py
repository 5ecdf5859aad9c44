"""What people do by hand: as many instances as fit on the first day, and never another number."""

from __future__ import annotations

from dataclasses import replace

from ocrpool.planner.instances.plan import plan_instances
from ocrpool.planner.instances.types import InstanceDecision, InstanceHistory, InstanceLimits
from ocrpool.protocol import State


class FixedCount:
    """Grows by the real rule until it first holds for want of room, then keeps that number. One
    object a trace."""

    def __init__(self) -> None:
        self._fixed = False

    def __call__(
        self, limits: InstanceLimits, history: InstanceHistory, state: State, now: float
    ) -> InstanceDecision:
        decision = plan_instances(limits, history, state, now)
        if decision.reason in ("AtMax", "Shrink", "AtCeiling") or "<" in decision.sentence:
            self._fixed = True
        return replace(decision, target=state.instances.target) if self._fixed else decision
