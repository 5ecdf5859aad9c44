"""Which decision is reported of a worker: every step at once, the rest only once it has settled.

Figures jitter, and with them the reason of the moment: "room for one more, seen once" comes and
goes. What a person reads, and what is written to the API server, must not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ocrpool.planner.instances.types import InstanceDecision, InstanceReason

# Reasons that a person should know of and do something about.
ADVICE: dict[InstanceReason, str] = {
    "InsufficientMemory": "lower instances.min, memory.reserve or admission.maxMegapixels, or give "
    "the worker a larger device",
    "DeviceLost": "look at the node (dmesg), and reset or replace the device",
    "DeviceUnreadable": "look at the worker's log",
    "ImplausibleFigures": "look at the device and at its driver",
}
# Another reason is reported after so many observations in a row; that a trouble has passed, after so many.
OBSERVATIONS_TO_CHANGE = 2
OBSERVATIONS_TO_CLEAR = 6


@dataclass(frozen=True, slots=True)
class ReportedDecision:
    """The decision that is reported; `candidate`: the kind of the last one, where that was another, and
    `observations`: for how many observations in a row it was."""

    decision: InstanceDecision
    candidate: str = ""
    observations: int = 0


def debounce(
    before: ReportedDecision | None, decision: InstanceDecision, *, step: bool
) -> ReportedDecision:
    """What is reported after one more decision. `step`: it asks for another target."""
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
    """The same for decisions that differ in their figures only."""
    return f"{decision.reason} {decision.target} {without_numbers(decision.sentence)}"


def without_numbers(sentence: str) -> str:
    """A sentence without its figures."""
    return re.sub(r"−?[\d.]+[KMGT]?i?", "#", sentence)
