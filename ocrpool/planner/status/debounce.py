"""Choose which decision the status shows: a new target at once, a new reason once it is stable.

Memory figures fluctuate, and the reason of a decision with them. The status, which is written to
the API server, must not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ocrpool.planner.instances.types import InstanceDecision, InstanceReason

# Reasons that need action, and the advice that the status gives.
ADVICE: dict[InstanceReason, str] = {
    "InsufficientMemory": "lower instances.min, memory.reserve or admission.maxMegapixels, or use "
    "a larger device",
    "DeviceLost": "check the node's kernel log (dmesg), then reset or replace the device",
    "DeviceUnreadable": "check the worker's log",
    "ImplausibleFigures": "check the device and its driver",
}
# Observations in a row after which a new reason is shown.
OBSERVATIONS_TO_CHANGE = 2
# The same after a reason that needs action.
OBSERVATIONS_TO_CLEAR = 6


@dataclass(frozen=True, slots=True)
class ReportedDecision:
    """The decision that the status shows. `candidate` is the kind of a different latest decision,
    `observations` how many times in a row it was made."""

    decision: InstanceDecision
    candidate: str = ""
    observations: int = 0


def debounce(
    before: ReportedDecision | None, decision: InstanceDecision, *, step: bool
) -> ReportedDecision:
    """Return what the status shows after this decision. `step`: it changes the target."""
    if before is None or step:
        return ReportedDecision(decision)
    reported, kind = before.decision, decision_kind(decision)
    if kind == decision_kind(reported):
        return ReportedDecision(decision)
    observations = before.observations + 1
    passing = reported.reason in ADVICE and decision.reason not in ADVICE
    settled = (
        observations >= OBSERVATIONS_TO_CLEAR if passing else observations >= OBSERVATIONS_TO_CHANGE
    )
    if settled and kind == before.candidate:
        return ReportedDecision(decision)
    return ReportedDecision(reported, kind, observations)


def decision_kind(decision: InstanceDecision) -> str:
    """Return a key that is equal for decisions that differ only in their numbers."""
    return f"{decision.reason} {decision.target} {without_numbers(decision.sentence)}"


def without_numbers(sentence: str) -> str:
    """Return a sentence with its numbers replaced."""
    return re.sub(r"−?[\d.]+[KMGT]?i?", "#", sentence)
