"""The status of a pool: from what was snapshot, planned and refused to what a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ocrpool.planner.instances.types import InstanceDecision
from ocrpool.planner.observed import FailureCount, ObservedWorker, PoolProblem, PoolSnapshot
from ocrpool.planner.size_limit import deduplicate_problems, expand_problems, shorten
from ocrpool.planner.status.conditions import ConditionInputs, build_conditions
from ocrpool.planner.status.debounce import ADVICE, without_numbers
from ocrpool.planner.timestamps import format_timestamp
from ocrpool.planner.workers.placement import choose_placement
from ocrpool.planner.workers.plan import PROXY_DISCOVERY_SECONDS, WorkerPlan
from ocrpool.protocol import Memory
from ocrpool.resource.names import selector_of
from ocrpool.resource.status import (
    AutoscalingReport,
    DeviceReport,
    InstanceCount,
    MemoryReport,
    Phase,
    PoolStatus,
    ProxyReport,
    WorkerReport,
)

# A figure is written anew when it moved by this share of the whole: a sixteenth.
STABLE_SHARE = 16
MEMORY_STEP = 64 * 2**20
FOOTPRINT_STEP = 2**20
# A worker that is not ready may be silent for this long: its server is starting.
STARTUP_SILENCE_SECONDS = 120.0
# One look that failed may be a hiccup of the network, or ours.
UNREACHABLE_AFTER = 2
# What a worker says while all is as it should be.
_NORMAL_REASONS = {"Starting", "Restarting", "Draining"}
_PREVIOUS = "; the last time: "
# Said while more work comes in than the most workers carry.
AT_MAX = PoolProblem(
    "AtMaxReplicas",
    "more work comes in than autoscaling.maxReplicas workers carry: pages wait longer than the "
    "target, then requests are refused (429); raise maxReplicas, or send less",
)


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """What one round of reconciling knows at its end."""

    snapshot: PoolSnapshot
    plan: WorkerPlan
    # By pod name: what its instances' number follows from.
    decisions: Mapping[str, InstanceDecision] = field(default_factory=dict)
    # By pod name: placement that got a new pod because the old one failed.
    failures: Mapping[str, FailureCount] = field(default_factory=dict)
    # What the API server refused, or what is wrong with the pool as a whole.
    problems: Sequence[PoolProblem] = ()
    autoscaling: AutoscalingReport | None = None


def build_status(this: ReconcileResult) -> PoolStatus:
    """What is to be written; equal to what is there where nothing worth a word has changed."""
    snapshot, before = this.snapshot, this.snapshot.pool.status
    problems = expand_problems(before.workers)
    old = {
        each.name: each.model_copy(update={"problem": problems[each.name]})
        for each in before.workers
    }
    names: dict[str, ObservedWorker | None] = dict.fromkeys(choose_placement(snapshot).kept)
    names.update({worker.pod.name: worker for worker in snapshot.workers})
    reports = tuple(
        _worker_report(this, name, worker, old.get(name))
        for name, worker in sorted(names.items(), key=lambda item: _natural(item[0]))
    )
    ready = sum(1 for worker in snapshot.workers if worker.pod.ready and not worker.leaving)
    proxy = snapshot.proxy
    inputs = ConditionInputs(
        desired=snapshot.pool.desired_replicas,
        deleting=snapshot.pool.deleting,
        ready=ready,
        pods=len(snapshot.workers),
        outdated=sum(1 for each in snapshot.workers if each.pod.revision != snapshot.revision),
        phases=tuple(report.phase for report in reports),
        proxy_desired=snapshot.pool.spec.proxy.replicas if snapshot.pool.spec.proxy else 0,
        proxy_ready=len(proxy.ready) if proxy else 0,
        growing=sum(
            1 for report in reports if _grows_to_minimum(report, snapshot.pool.spec.instances.min)
        ),
        problems=tuple(_problems(this, reports)),
    )
    return PoolStatus(
        observed_generation=snapshot.pool.generation,
        replicas=len(snapshot.workers),
        ready_replicas=ready,
        desired_replicas=snapshot.pool.desired_replicas,
        autoscaling=this.autoscaling,
        selector=selector_of(snapshot.pool.name),
        instances=InstanceCount(
            target=sum(report.instances.target for report in reports),
            ready=sum(report.instances.ready for report in reports),
        ),
        proxy=ProxyReport(replicas=len(proxy.pods), ready_replicas=len(proxy.ready))
        if proxy is not None
        else None,
        workers=deduplicate_problems(reports),
        conditions=build_conditions(
            inputs, before.conditions, snapshot.pool.generation, format_timestamp(snapshot.now)
        ),
    )


def _grows_to_minimum(report: WorkerReport, minimum: int) -> bool:
    return report.phase == "Ready" and not report.problem and report.instances.target < minimum


def _natural(name: str) -> tuple[str, int]:
    head, _, tail = name.rpartition("-")
    return (head, int(tail)) if tail.isdecimal() else (name, -1)


def _problems(
    this: ReconcileResult, reports: Sequence[WorkerReport]
) -> list[tuple[str, PoolProblem]]:
    """Everything that is wrong, with whom it is about, empty for the pool; what workers share is
    one thing."""
    found = [("", problem) for problem in dict.fromkeys(this.problems)]
    having: dict[str, list[str]] = {}
    for report in reports:
        if report.problem:
            having.setdefault(report.problem, []).append(report.name)
    for problem, names in having.items():
        reason, _, message = problem.partition(": ")
        who = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        found.append((who, PoolProblem(reason, message)))
    found += [("proxy", problem) for problem in _proxy_problems(this.snapshot)]
    if this.autoscaling is not None and this.autoscaling.at_max:
        found.append(("", AT_MAX))
    return found


def _proxy_problems(snapshot: PoolSnapshot) -> list[PoolProblem]:
    """What keeps the proxy from its work, each thing once."""
    if snapshot.proxy is None:
        return []
    found = {pod.problem for pod in snapshot.proxy.pods if pod.problem is not None}
    problems = sorted(found, key=lambda problem: problem.message)
    overdue = [
        worker.pod
        for worker in snapshot.workers
        if worker.serving and snapshot.now - worker.pod.ready_changed_at > PROXY_DISCOVERY_SECONDS
    ]
    for pod in snapshot.proxy.ready:
        if pod.uid not in snapshot.proxy.backends:
            continue  # one look that failed, or a NetworkPolicy: it may serve all the same
        unseen = [
            worker.name for worker in overdue if worker.ip not in snapshot.proxy.backends[pod.uid]
        ]
        if unseen:
            text = (
                f"sends nothing to {', '.join(unseen[:3])}, ready for over {PROXY_DISCOVERY_SECONDS:g} s; "
                "look at the cluster's DNS and at NetworkPolicies"
            )
            problems.append(PoolProblem("ProxyBlind", text))
            break
    return problems


def _worker_report(
    this: ReconcileResult, name: str, worker: ObservedWorker | None, old: WorkerReport | None
) -> WorkerReport:
    failure = this.failures.get(name)
    shared: dict[str, Any] = {
        "name": name,
        "failures": failure.times if failure else 0,
        "failed_at": format_timestamp(failure.at) if failure and failure.times else None,
    }
    if worker is None:
        waits = dict(this.plan.waiting).get(name)
        problem = f"BackOff: {waits}{_previous_problem(old)}" if waits else ""
        return WorkerReport(**shared, phase="Waiting", problem=problem)
    pod, state = worker.pod, worker.state
    problem = _problem_text(worker, this.snapshot.now)
    if not problem and failure and pod.ends_at is not None:
        problem = _worker_problem(worker) or (old.problem if old is not None else "")  # why it goes
    report = WorkerReport(**shared, phase=_phase(worker), node=pod.node, problem=problem)
    if state is None:
        # The last word of a worker that is silent for a moment is kept, not wiped.
        if old is None or worker.leaving:
            return report
        kept = {"device": old.device, "memory": old.memory, "footprint": old.footprint}
        return report.model_copy(
            update={**kept, "decision": old.decision, "instances": old.instances}
        )
    found = report.model_copy(
        update={
            "device": DeviceReport(name=state.device.name, uuid=state.device.uuid),
            "memory": _stable_memory(state.device.memory, old.memory if old else None),
            "footprint": _stable_footprint(state.footprint.bytes, old.footprint if old else 0),
            "instances": InstanceCount(target=state.instances.target, ready=state.instances.ready),
        }
    )
    decision = this.decisions.get(name)
    if decision is None:
        return found
    sentence = _stable_sentence(decision.sentence, found, old)
    problem = found.problem or _planner_problem(
        decision, sentence, this.snapshot.pool.spec.instances.min
    )
    return found.model_copy(update={"decision": sentence, "problem": problem})


def _previous_problem(old: WorkerReport | None) -> str:
    """For a place that waits for its next pod: what was wrong with the last one."""
    if old is None or not old.problem:
        return ""
    if old.phase == "Waiting":
        _, sign, why = old.problem.rpartition(_PREVIOUS)
        return f"{sign}{why}"
    return f"{_PREVIOUS}{old.problem}"


def _stable_sentence(sentence: str, new: WorkerReport, old: WorkerReport | None) -> str:
    """The old one where only its figures are others, and those that are told beside it are not."""
    if old is None or without_numbers(old.decision) != without_numbers(sentence):
        return sentence
    same = (new.memory, new.footprint, new.instances) == (old.memory, old.footprint, old.instances)
    return old.decision if same else sentence


def _planner_problem(decision: InstanceDecision, sentence: str, minimum: int) -> str:
    """What the planner found wrong that the worker itself does not say, or nothing."""
    reason = decision.reason
    if reason == "AtCeiling" and decision.target < minimum:
        reason = "InsufficientMemory"
    if reason not in ADVICE:
        return ""
    _, _, why = sentence.partition(": hold, ")
    return f"{reason}: {why or sentence}; {ADVICE[reason]}"


def _phase(worker: ObservedWorker) -> Phase:
    pod = worker.pod
    if pod.ends_at is not None:
        return "Ending"
    if pod.draining_since is not None:
        return "Draining"
    if pod.ready:
        return "Ready"
    if not pod.ip:
        return "Pending"
    problem = worker.state.problem if worker.state else None
    if problem is not None and problem.reason not in _NORMAL_REASONS:
        return "NotReady"
    return "Booting"


def _problem_text(worker: ObservedWorker, now: float) -> str:
    pod = worker.pod
    if worker.leaving:
        return f"{pod.problem.reason}: {pod.problem.message}" if pod.problem else ""
    if pod.problem is not None:
        return f"{pod.problem.reason}: {pod.problem.message}"
    if worker.state is not None:
        return _worker_problem(worker)
    late = now - pod.created_at > STARTUP_SILENCE_SECONDS and bool(pod.ip)
    if worker.observation.failures_in_a_row >= UNREACHABLE_AFTER and (pod.ready or late):
        return (
            f"WorkerUnreachable: {worker.observation.error}; look at the pod and at NetworkPolicies"
        )
    return ""


def _worker_problem(worker: ObservedWorker) -> str:
    said = worker.state.problem if worker.state is not None else None
    if said is None or said.reason in _NORMAL_REASONS:
        return ""
    return f"{said.reason}: {shorten(said.message, 400)}"


def _stable_memory(memory: Memory | None, old: MemoryReport | None) -> MemoryReport | None:
    """Figures of a device in steps, and the old ones while they are near enough."""
    if memory is None:
        return old
    new = MemoryReport(
        total=memory.total,
        used=_step(memory.used, MEMORY_STEP),
        free=_step(memory.free, MEMORY_STEP),
    )
    if old is None or old.total != new.total:
        return new
    near = abs(old.free - memory.free) < max(memory.total // STABLE_SHARE, MEMORY_STEP)
    return old if near else new


def _stable_footprint(count: int, old: int) -> int:
    if old and abs(count - old) * STABLE_SHARE < old:
        return old
    return _step(count, FOOTPRINT_STEP)


def _step(count: int, step: int) -> int:
    return round(count / step) * step
