"""How many workers a pool wants, from all that the operator remembers of it between two rounds.

With `spec.autoscaling` that is planner/demand.py's word; with `spec.replicas` it is the user's,
held for a moment on the way down: an HPA that changes its mind every few seconds costs no worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ocrpool.planner.instances.headroom import measure_headroom, why_unusable
from ocrpool.planner.instances.limits import limits_of
from ocrpool.planner.instances.types import InstanceHistory, InstanceReason
from ocrpool.planner.observed import ObservedPool, ObservedWorker
from ocrpool.planner.timestamps import format_timestamp
from ocrpool.planner.workers.autoscaling import (
    AutoscalingHistory,
    AutoscalingPolicy,
    PoolLoad,
    WorkerDecision,
    decide_worker_count,
)
from ocrpool.planner.workers.load import WorkerLoad
from ocrpool.protocol import State
from ocrpool.resource.spec import PoolSpec
from ocrpool.resource.status import AutoscalingReport

# Decisions about a worker's instances after which more of them are still to be expected.
_FILLING: frozenset[InstanceReason] = frozenset({"Grow", "Hold", "Limits", "Booting"})


@dataclass(frozen=True, slots=True)
class IdleRecord:
    """Requests that a worker had accepted when it was last looked at, and since when it has not
    had another and held none."""

    requests: int
    since: float


@dataclass(frozen=True, slots=True)
class ReplicaHistory:
    """Of one pool. A default one is right after a restart."""

    autoscaling: AutoscalingHistory = field(default_factory=AutoscalingHistory)
    # (moment, spec.replicas) of the looks within the window.
    requested: tuple[tuple[float, int], ...] = ()
    idle: Mapping[str, IdleRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DesiredReplicas:
    """Workers there shall be, what is said of it, and who idle (uids)."""

    workers: int
    memory: ReplicaHistory
    decision: WorkerDecision | None = None
    evictable: frozenset[str] = frozenset()


def decide_desired_replicas(
    pool: ObservedPool,
    workers: tuple[ObservedWorker, ...],
    reasons: Mapping[str, InstanceReason],
    memory: ReplicaHistory,
    now: float,
    *,
    wall: float | None = None,
) -> DesiredReplicas:
    """Decide for one pool. `last_reason`: the last reason of each worker's instances, by uid. `now` is on
    any clock that never jumps; `wall` is the same moment since the epoch, where that is another."""
    idle = _idle_records(memory.idle, workers, pool.spec.disruption.rest_seconds, now)
    resting = frozenset(
        uid for uid, each in idle.items() if now - each.since >= pool.spec.disruption.rest_seconds
    )
    memory = replace(memory, idle=idle)
    if pool.deleting:
        return DesiredReplicas(0, memory, evictable=resting)
    policy = autoscaling_policy(pool.spec)
    if policy is None:
        count, requested = _stabilized(pool, memory.requested, now)
        memory = replace(memory, requested=requested, autoscaling=AutoscalingHistory())
        return DesiredReplicas(count, memory, evictable=resting)
    figures = (
        worker_load(pool.spec, each, reasons.get(each.pod.uid), now if wall is None else wall)
        for each in workers
    )
    silent = sum(
        1 for each in workers if each.pod.ready and not each.leaving and each.state is None
    )
    load = PoolLoad(
        tuple(each for each in figures if each is not None), pool.status.desired_replicas, silent
    )
    decision = decide_worker_count(policy, memory.autoscaling, load, now)
    memory = replace(memory, autoscaling=decision.history, requested=())
    return DesiredReplicas(decision.desired, memory, decision, resting)


def autoscaling_policy(spec: PoolSpec) -> AutoscalingPolicy | None:
    """What `spec.autoscaling` allows; None where the number is the user's."""
    scaling = spec.autoscaling
    if scaling is None:
        return None
    return AutoscalingPolicy(
        minimum=scaling.min_replicas,
        maximum=scaling.max_replicas,
        target=scaling.target_queue_seconds,
        up=scaling.scale_up_stabilization_seconds,
        down=scaling.scale_down_stabilization_seconds,
        # The proxy sends each request to whoever has the fewest: nearly one queue for all.
        shared=spec.proxy is not None,
    )


def autoscaling_report(
    pool: ObservedPool, decision: WorkerDecision | None, now: float
) -> AutoscalingReport | None:
    """What the status says: the sentence of the last change, since the figures of every look are
    others."""
    if pool.spec.autoscaling is None or decision is None:
        return None
    before = pool.status.autoscaling or AutoscalingReport()
    if before.desired != decision.desired:
        return AutoscalingReport(
            desired=decision.desired,
            decision=decision.sentence,
            at_max=decision.history.at_max,
            last_scale_time=format_timestamp(now),
        )
    return before.model_copy(update={"at_max": decision.history.at_max})


def worker_load(
    spec: PoolSpec, worker: ObservedWorker, last_reason: InstanceReason | None, now: float
) -> WorkerLoad | None:
    """One worker as it counts; None where it says nothing. `now`: since the epoch."""
    state = worker.state
    if state is None:
        return None
    counters = state.counters
    on_pages = sum(each.busy_seconds for each in state.instances.each if each.state == "busy")
    return WorkerLoad(
        name=worker.pod.uid,
        serving=worker.serving,
        instances=state.instances.ready + state.instances.booting,
        growth=expected_growth(spec, state, last_reason),
        work=counters.page_seconds + on_pages,
        pages=counters.pages,
        answered=counters.answered,
        refused=counters.rejected,
        waiting=max(state.queue.pages, state.queue.depth),
        age=max(0.0, now - worker.pod.created_at),
    )


def expected_growth(spec: PoolSpec, state: State, last_reason: InstanceReason | None) -> int:
    """Further instances that the worker is likely to get: as many as memory, `instances.max` and
    its own ceiling leave, and none where its last decision says that it does not grow."""
    if (last_reason is not None and last_reason not in _FILLING) or why_unusable(state) is not None:
        return 0
    limits = limits_of(spec)
    headroom = measure_headroom(limits, InstanceHistory(), state)
    if not headroom.footprint or state.footprint.bytes == 0:
        return 0
    here = state.instances.ready + state.instances.booting
    most = min(limits.maximum, state.instances.ceiling)
    return max(0, min(most - here, headroom.headroom // headroom.footprint))


def _stabilized(
    pool: ObservedPool, before: tuple[tuple[float, int], ...], now: float
) -> tuple[int, tuple[tuple[float, int], ...]]:
    """The most replicas that were requested for within the window."""
    requested = 1 if pool.spec.replicas is None else pool.spec.replicas
    window = pool.spec.scale_down_stabilization_seconds
    if not before:
        before = ((now, pool.status.desired_replicas),)
    kept = [each for each in before if each[0] > now - window and each[1] > requested]
    return max([requested, *(count for _, count in kept)]), (*kept, (now, requested))


def _idle_records(
    before: Mapping[str, IdleRecord],
    workers: tuple[ObservedWorker, ...],
    seconds: float,
    now: float,
) -> dict[str, IdleRecord]:
    found: dict[str, IdleRecord] = {}
    for worker in workers:
        uid, state = worker.pod.uid, worker.state
        known = before.get(uid)
        if state is None:
            if known is not None:
                found[uid] = known
            continue
        requests = state.counters.requests
        if known is None and worker.pod.evictable and worker.idle:
            # Its annotation is what an operator before this one remembered.
            known = IdleRecord(requests, now - seconds)
        restful = worker.serving and worker.idle
        if known is None or not restful or known.requests != requests:
            known = IdleRecord(requests, now)
        found[uid] = known
    return found
