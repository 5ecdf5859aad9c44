"""Build the status of a pool from one reconcile round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ocrpool.planner.instances.types import InstanceDecision
from ocrpool.planner.observed import FailureCount, ObservedWorker, PoolProblem, PoolSnapshot
from ocrpool.planner.size_limit import deduplicate_problems, expand_problems, shorten
from ocrpool.planner.status.conditions import ConditionInputs, build_conditions
from ocrpool.planner.status.debounce import ADVICE
from ocrpool.planner.status.stable_figures import (
    stable_footprint,
    stable_memory,
    stable_sentence,
)
from ocrpool.planner.timestamps import format_timestamp
from ocrpool.planner.workers.placement import choose_placement
from ocrpool.planner.workers.plan import PROXY_DISCOVERY_SECONDS, WorkerPlan
from ocrpool.resource.names import selector_of
from ocrpool.resource.status import (
    AutoscalingReport,
    DeviceReport,
    InstanceCount,
    Phase,
    PoolStatus,
    ProxyReport,
    WorkerReport,
)

# A pod that is not ready may not answer for this long: its server is starting.
STARTUP_SILENCE_SECONDS = 120.0
# Failed observations in a row after which a worker is reported as unreachable.
UNREACHABLE_AFTER = 2
# Reasons in a worker's state that are not problems.
_NORMAL_REASONS = {"Starting", "Restarting", "Draining"}
_PREVIOUS = "; previous failure: "
AT_MAX = PoolProblem(
    "AtMaxReplicas",
    "the load exceeds what autoscaling.maxReplicas workers can handle: pages wait longer than "
    "targetQueueSeconds, and requests are answered 429 once queues are full; raise maxReplicas or "
    "send fewer requests",
)


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """Everything that is known at the end of a reconcile round."""

    snapshot: PoolSnapshot
    plan: WorkerPlan
    # Decision about the number of instances, by pod name.
    decisions: Mapping[str, InstanceDecision] = field(default_factory=dict)
    # Pods that were replaced after a failure, by name.
    failures: Mapping[str, FailureCount] = field(default_factory=dict)
    # Requests that the API server refused, and problems of the pool as a whole.
    problems: Sequence[PoolProblem] = ()
    autoscaling: AutoscalingReport | None = None


def build_status(result: ReconcileResult) -> PoolStatus:
    """Return the new status. It equals the old one unless something relevant has changed."""
    snapshot, before = result.snapshot, result.snapshot.pool.status
    problems = expand_problems(before.workers)
    old = {
        each.name: each.model_copy(update={"problem": problems[each.name]})
        for each in before.workers
    }
    names: dict[str, ObservedWorker | None] = dict.fromkeys(choose_placement(snapshot).kept)
    names.update({worker.pod.name: worker for worker in snapshot.workers})
    reports = tuple(
        _worker_report(result, name, worker, old.get(name))
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
        problems=tuple(_problems(result, reports)),
    )
    return PoolStatus(
        observed_generation=snapshot.pool.generation,
        replicas=len(snapshot.workers),
        ready_replicas=ready,
        desired_replicas=snapshot.pool.desired_replicas,
        autoscaling=result.autoscaling,
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
    result: ReconcileResult, reports: Sequence[WorkerReport]
) -> list[tuple[str, PoolProblem]]:
    """Return all problems with the worker's name, or "" for the pool. A problem that workers share
    counts once."""
    found = [("", problem) for problem in dict.fromkeys(result.problems)]
    workers_of: dict[str, list[str]] = {}
    for report in reports:
        if report.problem:
            workers_of.setdefault(report.problem, []).append(report.name)
    for problem, names in workers_of.items():
        reason, _, message = problem.partition(": ")
        who = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        found.append((who, PoolProblem(reason, message)))
    found += [("proxy", problem) for problem in _proxy_problems(result.snapshot)]
    if result.autoscaling is not None and result.autoscaling.at_max:
        found.append(("", AT_MAX))
    return found


def _proxy_problems(snapshot: PoolSnapshot) -> list[PoolProblem]:
    """Return the problems of the proxy, each once."""
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
            continue  # no answer: one failed request, or a NetworkPolicy. It may still work.
        unseen = [
            worker.name for worker in overdue if worker.ip not in snapshot.proxy.backends[pod.uid]
        ]
        if unseen:
            text = (
                f"sends no requests to {', '.join(unseen[:3])}, ready for over "
                f"{PROXY_DISCOVERY_SECONDS:g} s; check the cluster's DNS and NetworkPolicies"
            )
            problems.append(PoolProblem("ProxyBlind", text))
            break
    return problems


def _worker_report(
    result: ReconcileResult, name: str, worker: ObservedWorker | None, old: WorkerReport | None
) -> WorkerReport:
    failure = result.failures.get(name)
    shared: dict[str, Any] = {
        "name": name,
        "failures": failure.times if failure else 0,
        "failed_at": format_timestamp(failure.at) if failure and failure.times else None,
    }
    if worker is None:
        waits = dict(result.plan.waiting).get(name)
        problem = f"BackOff: {waits}{_previous_problem(old)}" if waits else ""
        return WorkerReport(**shared, phase="Waiting", problem=problem)
    pod, state = worker.pod, worker.state
    problem = _problem_text(worker, result.snapshot.now)
    if not problem and failure and pod.ends_at is not None:
        # Why it is deleted.
        problem = _worker_problem(worker) or (old.problem if old is not None else "")
    report = WorkerReport(**shared, phase=_phase(worker), node=pod.node, problem=problem)
    if state is None:
        # Keep the last figures of a worker that does not answer.
        if old is None or worker.leaving:
            return report
        kept = {"device": old.device, "memory": old.memory, "footprint": old.footprint}
        return report.model_copy(
            update={**kept, "decision": old.decision, "instances": old.instances}
        )
    found = report.model_copy(
        update={
            "device": DeviceReport(name=state.device.name, uuid=state.device.uuid),
            "memory": stable_memory(state.device.memory, old.memory if old else None),
            "footprint": stable_footprint(state.footprint.bytes, old.footprint if old else 0),
            "instances": InstanceCount(target=state.instances.target, ready=state.instances.ready),
        }
    )
    decision = result.decisions.get(name)
    if decision is None:
        return found
    sentence = stable_sentence(decision.sentence, found, old)
    problem = found.problem or _planner_problem(
        decision, sentence, result.snapshot.pool.spec.instances.min
    )
    return found.model_copy(update={"decision": sentence, "problem": problem})


def _previous_problem(old: WorkerReport | None) -> str:
    """Return what was wrong with the previous pod, for a worker that waits for its next one."""
    if old is None or not old.problem:
        return ""
    if old.phase == "Waiting":
        _, sign, why = old.problem.rpartition(_PREVIOUS)
        return f"{sign}{why}"
    return f"{_PREVIOUS}{old.problem}"


def _planner_problem(decision: InstanceDecision, sentence: str, minimum: int) -> str:
    """Return a problem that the planner found and the worker does not report, or ""."""
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
        return f"WorkerUnreachable: {worker.observation.error}; check the pod and NetworkPolicies"
    return ""


def _worker_problem(worker: ObservedWorker) -> str:
    problem = worker.state.problem if worker.state is not None else None
    if problem is None or problem.reason in _NORMAL_REASONS:
        return ""
    return f"{problem.reason}: {shorten(problem.message, 400)}"
