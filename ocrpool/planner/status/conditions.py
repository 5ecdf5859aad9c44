"""Ready, Progressing, Degraded: what a pool's conditions say, and when they change."""

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
    """The figures that the conditions follow from. A problem comes with its worker, or ``."""

    wanted: int
    deleting: bool
    ready: int
    pods: int
    outdated: int
    phases: tuple[str, ...]
    # Workers that serve and were not yet asked for `instances.min`, though nothing is wrong.
    growing: int = 0
    # Pods of the proxy that there shall be and that are ready; 0 and 0 where it has none.
    proxy_wanted: int = 0
    proxy_ready: int = 0
    problems: tuple[tuple[str, PoolProblem], ...] = ()


@dataclass(frozen=True, slots=True)
class ConditionDraft:
    """A condition before it gets its times."""

    type: Kind
    status: Truth
    reason: str
    message: str


def build_conditions(
    finding: ConditionInputs, before: Sequence[Condition], generation: int, stamp: str
) -> tuple[Condition, ...]:
    """All three; the transition time changes only where the status does."""
    old = {each.type: each for each in before}
    found = []
    for word in (_ready(finding), _progressing(finding), _degraded(finding)):
        same = old.get(word.type)
        since = same.last_transition_time if same and same.status == word.status else stamp
        found.append(
            Condition(
                type=word.type,
                status=word.status,
                reason=word.reason,
                message=word.message,
                last_transition_time=since,
                observed_generation=generation,
            )
        )
    return tuple(found)


def _ready(finding: ConditionInputs) -> ConditionDraft:
    if finding.deleting:
        return ConditionDraft("Ready", "False", "Deleting", "the pool is being deleted")
    if finding.wanted == 0:
        return ConditionDraft(
            "Ready", "False", "NoWorkers", "no worker is asked for: raise spec.replicas"
        )
    counts = f"{finding.ready} of {finding.wanted} workers are ready"
    blocking = next((each for _, each in finding.problems if each.blocks), None)
    if blocking is not None:
        return ConditionDraft("Ready", "False", blocking.reason, f"{counts}; {blocking.message}")
    if finding.ready >= finding.wanted:
        if finding.proxy_wanted and not finding.proxy_ready:
            text = f"{counts}; no pod of the proxy is, and the Service goes to the workers"
            return ConditionDraft("Ready", "False", "ProxyNotReady", text)
        return ConditionDraft("Ready", "True", "AllWorkersReady", counts)
    if finding.problems:
        return ConditionDraft(
            "Ready", "False", finding.problems[0][1].reason, f"{counts}; {_tell(finding)}"
        )
    moving = _progressing(finding)
    if moving.status == "True":
        return ConditionDraft("Ready", "False", moving.reason, f"{counts}; {moving.message}")
    return ConditionDraft("Ready", "False", "WorkersNotReady", counts)


def _progressing(finding: ConditionInputs) -> ConditionDraft:
    def yes(reason: str, message: str) -> ConditionDraft:
        return ConditionDraft("Progressing", "True", reason, message)

    if finding.deleting:
        return yes("Deleting", f"{finding.pods} workers are drained and deleted")
    if finding.outdated:
        return yes("Rolling", f"{finding.outdated} workers are of an older spec")
    waiting = finding.phases.count("Waiting") + finding.phases.count("Pending")
    if waiting:
        return yes("Starting", f"{waiting} workers wait for their pod to run")
    booting = finding.phases.count("Booting")
    if booting:
        return yes("Booting", f"{booting} workers boot")
    leaving = finding.phases.count("Draining") + finding.phases.count("Ending")
    if leaving:
        return yes("Draining", f"{leaving} workers drain or end")
    if finding.proxy_ready < finding.proxy_wanted:
        text = f"{finding.proxy_ready} of {finding.proxy_wanted} pods of the proxy are ready"
        return yes("ProxyStarting", text)
    if finding.growing:
        return yes("Growing", f"{finding.growing} workers are on their way to instances.min")
    stuck = finding.phases.count("NotReady")
    if stuck:
        text = f"{stuck} workers are not ready, and waiting alone will not mend it"
        return ConditionDraft("Progressing", "False", "Stuck", text)
    told = "nothing is in motion; Degraded says what is wrong"
    if not finding.problems:
        told = "everything that was asked for is there"
    return ConditionDraft("Progressing", "False", "Settled", told)


def _degraded(finding: ConditionInputs) -> ConditionDraft:
    if not finding.problems:
        return ConditionDraft("Degraded", "False", "AsExpected", "nothing is known to be wrong")
    return ConditionDraft("Degraded", "True", finding.problems[0][1].reason, _tell(finding))


def _tell(finding: ConditionInputs) -> str:
    """The first problem in full, and how many more there are."""
    name, first = finding.problems[0]
    text = f"{name}: {first.message}" if name else first.message
    more = len(finding.problems) - 1
    if not more:
        return text
    return f"{text} (and {more} other problem{'s' if more > 1 else ''})"
