"""The conditions Ready, Progressing and Degraded of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ocrpool.planner.observed import PoolProblem
from ocrpool.resource.status import Condition

Kind = Literal["Ready", "Progressing", "Degraded"]
Truth = Literal["True", "False"]


@dataclass(frozen=True, slots=True)
class ConditionInputs:
    """What the conditions are derived from. Each problem comes with the name of its
    worker, or "" for the pool."""

    desired: int
    deleting: bool
    ready: int
    pods: int
    outdated: int
    phases: tuple[str, ...]
    # Ready workers without a problem whose target is still below instances.min.
    growing: int = 0
    # Desired and ready proxy pods; both 0 without spec.proxy.
    proxy_desired: int = 0
    proxy_ready: int = 0
    problems: tuple[tuple[str, PoolProblem], ...] = ()


@dataclass(frozen=True, slots=True)
class ConditionDraft:
    """A condition without times."""

    type: Kind
    status: Truth
    reason: str
    message: str


def build_conditions(
    inputs: ConditionInputs, before: Sequence[Condition], generation: int, stamp: str
) -> tuple[Condition, ...]:
    """Return the three conditions. A transition time changes only with its status."""
    old = {each.type: each for each in before}
    found = []
    for draft in (_ready(inputs), _progressing(inputs), _degraded(inputs)):
        same = old.get(draft.type)
        since = same.last_transition_time if same and same.status == draft.status else stamp
        found.append(
            Condition(
                type=draft.type,
                status=draft.status,
                reason=draft.reason,
                message=draft.message,
                last_transition_time=since,
                observed_generation=generation,
            )
        )
    return tuple(found)


def _ready(inputs: ConditionInputs) -> ConditionDraft:
    if inputs.deleting:
        return ConditionDraft("Ready", "False", "Deleting", "the pool is being deleted")
    if inputs.desired == 0:
        return ConditionDraft(
            "Ready", "False", "NoWorkers", "0 workers are desired: raise spec.replicas"
        )
    counts = f"{inputs.ready} of {inputs.desired} workers are ready"
    blocking = next((each for _, each in inputs.problems if each.blocks), None)
    if blocking is not None:
        return ConditionDraft("Ready", "False", blocking.reason, f"{counts}; {blocking.message}")
    if inputs.ready >= inputs.desired:
        if inputs.proxy_desired and not inputs.proxy_ready:
            direct = "no proxy pod is ready, so the Service sends requests to the workers directly"
            text = f"{counts}; {direct}"
            return ConditionDraft("Ready", "False", "ProxyNotReady", text)
        return ConditionDraft("Ready", "True", "AllWorkersReady", counts)
    if inputs.problems:
        return ConditionDraft(
            "Ready", "False", inputs.problems[0][1].reason, f"{counts}; {_first_problem(inputs)}"
        )
    moving = _progressing(inputs)
    if moving.status == "True":
        return ConditionDraft("Ready", "False", moving.reason, f"{counts}; {moving.message}")
    return ConditionDraft("Ready", "False", "WorkersNotReady", counts)


def _progressing(inputs: ConditionInputs) -> ConditionDraft:
    def yes(reason: str, message: str) -> ConditionDraft:
        return ConditionDraft("Progressing", "True", reason, message)

    if inputs.deleting:
        return yes("Deleting", f"{inputs.pods} workers are being drained and deleted")
    if inputs.outdated:
        return yes(
            "Rolling",
            f"{inputs.outdated} workers still run an older spec; ready ones are replaced one "
            "at a time",
        )
    waiting = inputs.phases.count("Waiting") + inputs.phases.count("Pending")
    if waiting:
        return yes("Starting", f"{waiting} workers wait for a running pod")
    booting = inputs.phases.count("Booting")
    if booting:
        return yes("Booting", f"{booting} workers are starting up")
    leaving = inputs.phases.count("Draining") + inputs.phases.count("Ending")
    if leaving:
        return yes("Draining", f"{leaving} workers are draining or terminating")
    if inputs.proxy_ready < inputs.proxy_desired:
        text = f"{inputs.proxy_ready} of {inputs.proxy_desired} proxy pods are ready"
        return yes("ProxyStarting", text)
    if inputs.growing:
        return yes("Growing", f"{inputs.growing} workers are growing to instances.min")
    stuck = inputs.phases.count("NotReady")
    if stuck:
        text = f"{stuck} workers are not ready and do not recover by themselves; see Degraded"
        return ConditionDraft("Progressing", "False", "Stuck", text)
    settled = "nothing is changing; see Degraded for what is wrong"
    if not inputs.problems:
        settled = "the pool is as desired"
    return ConditionDraft("Progressing", "False", "Settled", settled)


def _degraded(inputs: ConditionInputs) -> ConditionDraft:
    if not inputs.problems:
        return ConditionDraft("Degraded", "False", "AsExpected", "no problem is known")
    return ConditionDraft("Degraded", "True", inputs.problems[0][1].reason, _first_problem(inputs))


def _first_problem(inputs: ConditionInputs) -> str:
    """Return the first problem in full, and how many more there are."""
    name, first = inputs.problems[0]
    text = f"{name}: {first.message}" if name else first.message
    more = len(inputs.problems) - 1
    if not more:
        return text
    return f"{text} (and {more} other problem{'s' if more > 1 else ''})"
