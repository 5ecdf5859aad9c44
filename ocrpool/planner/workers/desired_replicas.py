"""Decide how many workers a pool runs, with autoscaling or with a fixed `spec.replicas`.

With `spec.autoscaling`, `autoscaling.py` decides. With `spec.replicas`, the user or an HPA does;
fewer replicas take effect after a stabilization window, so that a short dip costs no worker.
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

# Reasons of instance decisions after which the worker may still grow.
_FILLING: frozenset[InstanceReason] = frozenset({"Grow", "Hold", "Limits", "Booting"})


@dataclass(frozen=True, slots=True)
class IdleRecord:
    """The number of requests that a worker had accepted at the last observation, and since when it
    has been idle."""

    requests: int
    since: float


@dataclass(frozen=True, slots=True)
class ReplicaHistory:
    """What is remembered of one pool. The default is right after a restart."""

    autoscaling: AutoscalingHistory = field(default_factory=AutoscalingHistory)
    # (time, spec.replicas) of the observations within the window.
    requested: tuple[tuple[float, int], ...] = ()
    idle: Mapping[str, IdleRecord] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DesiredReplicas:
    """The desired number of workers, the decision about it, and the uids of evictable workers."""

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
    """Decide for one pool. `reasons`: the last reason of each worker's instance decision, by uid.
    `now` is on any clock that never jumps; `wall` is the same time since the epoch, if that is
    another clock."""
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
    """Return the policy of `spec.autoscaling`, or None without it."""
    scaling = spec.autoscaling
    if scaling is None:
        return None
    return AutoscalingPolicy(
        minimum=scaling.min_replicas,
        maximum=scaling.max_replicas,
        target=scaling.target_queue_seconds,
        up=scaling.scale_up_stabilization_seconds,
        down=scaling.scale_down_stabilization_seconds,
        # The proxy sends each request to the least busy worker: nearly one queue for all.
        shared=spec.proxy is not None,
    )


def autoscaling_report(
    pool: ObservedPool, decision: WorkerDecision | None, now: float
) -> AutoscalingReport | None:
    """Return the report of the last change. Later decisions with the same number do not change
    it."""
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
    """Return the load figures of a worker, or None without its state. `now` is since the epoch."""
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
    """Return how many more instances the worker will probably get: as many as memory,
    instances.max and its ceiling allow, and none if its last decision rules out growth."""
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
    """Return the highest spec.replicas within the window, and the updated history."""
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
            # The annotation shows that a previous operator process found it idle.
            known = IdleRecord(requests, now - seconds)
        idle_now = worker.serving and worker.idle
        if known is None or not idle_now or known.requests != requests:
            known = IdleRecord(requests, now)
        found[uid] = known
    return found
