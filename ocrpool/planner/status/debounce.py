"""Which decision is told of a worker: every step at once, the rest only once it has settled.

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
# Another reason is told after so many looks in a row; that a trouble has passed, after so many.
BELIEVED_AFTER = 2
PASSED_AFTER = 6


@dataclass(frozen=True, slots=True)
class ReportedDecision:
    """The decision that is told; `rival`: the kind of the last one, where that was another, and
    `looks`: for how many looks in a row it was."""

    decision: InstanceDecision
    rival: str = ""
    looks: int = 0


def debounce(
    before: ReportedDecision | None, decision: InstanceDecision, *, step: bool
) -> ReportedDecision:
    """What is told after one more decision. `step`: it asks for another target."""
    if before is None or step:
        return ReportedDecision(decision)
    told, kind = before.decision, kind_of(decision)
    if kind == kind_of(told):
        return ReportedDecision(decision)
    looks = before.looks + 1
    passing = told.reason in ADVICE and decision.reason not in ADVICE
    settled = looks >= PASSED_AFTER if passing else looks >= BELIEVED_AFTER
    if settled and kind == before.rival:
        return ReportedDecision(decision)
    return ReportedDecision(told, kind, looks)


def kind_of(decision: InstanceDecision) -> str:
    """The same for decisions that differ in their figures only."""
    return f"{decision.reason} {decision.target} {without_numbers(decision.sentence)}"


def without_numbers(sentence: str) -> str:
    """A sentence without its figures."""
    return re.sub(r"−?[\d.]+[KMGT]?i?", "#", sentence)
