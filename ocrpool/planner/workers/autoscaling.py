"""Decide how many workers a pool runs with `spec.autoscaling`.

The rule, in instances; docs/autoscaling.md has the formula and the reasons:
    desired = ⌈(predicted load + backlog / 60 s + spare) / instances per worker⌉
    spare   = 3 × seconds per page / targetQueueSeconds
The pool grows when more was desired throughout a short window, to what is desired now. It shrinks
to the highest number that was desired, with a margin, within a long window.
Pure: `now` is in seconds, on any clock of the caller that never jumps.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from typing import Literal

from ocrpool.planner.workers.load import (
    LoadEstimate,
    LoadHistory,
    WorkerLoad,
    estimate_backlog,
    estimate_load,
    record_load,
)

# With this many idle instances, at most 5 % of the pages wait longer than the target: with a queue
# in front of many instances, waits have the tail exp(−idle × target / page), and e⁻³ = 5 %.
WAIT_TAIL = 3.0
# A target far below the time of a page would ask for too many idle instances. The limit: half of
# each worker with one queue per worker, or as many as are busy with one queue for all.
MAX_SPARE_SHARE = 0.5
# A backlog that waits longer than the target is worked off within this time.
CATCH_UP_SECONDS = 60.0
# A worker is removed only if the others can handle this much more than the load.
SHRINK_MARGIN = 0.05
# Observations closer together than this count as one.
MIN_INTERVAL_SECONDS = 0.4

WorkerDecisionReason = Literal["Grow", "Shrink", "Hold", "Limits", "AtMax", "Silent", "NotMeasured"]


@dataclass(frozen=True, slots=True)
class AutoscalingPolicy:
    """The user's settings. `up` and `down`: seconds for which more, or fewer, workers must have
    been desired. `shared`: one queue for all workers (a proxy), not one per worker."""

    minimum: int
    maximum: int
    target: float
    up: float = 30.0
    down: float = 300.0
    shared: bool = False


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """One observation of a pool. `silent`: ready workers that did not answer."""

    workers: tuple[WorkerLoad, ...]
    desired: int
    silent: int = 0


@dataclass(frozen=True, slots=True)
class WorkerDemand:
    """The demand of one observation, in instances, and the number of workers for it, to grow and to
    shrink, before the limits."""

    at: float
    load: LoadEstimate
    backlog: float
    catch_up: float
    spare: float
    instances_per_worker: float
    total: float
    to_grow: int
    to_shrink: int


@dataclass(frozen=True, slots=True)
class AutoscalingHistory:
    """What is remembered between observations. The default is right for a new pool."""

    recorded: LoadHistory = field(default_factory=LoadHistory)
    demands: tuple[WorkerDemand, ...] = ()
    first_at: float | None = None
    at_max: bool = False
    last_silent_at: float = -math.inf


@dataclass(frozen=True, slots=True)
class WorkerDecision:
    """`desired` is the number of workers; `sentence` explains it, with the numbers compared."""

    desired: int
    reason: WorkerDecisionReason
    sentence: str
    history: AutoscalingHistory


def decide_worker_count(
    policy: AutoscalingPolicy, history: AutoscalingHistory, pool: PoolLoad, now: float
) -> WorkerDecision:
    """Decide for one pool, from this observation and the history of earlier ones."""
    history, demand = _record(policy, history, pool, now)
    inside = min(max(pool.desired, policy.minimum), policy.maximum)
    if inside != pool.desired:
        word = "minReplicas" if inside > pool.desired else "maxReplicas"
        return WorkerDecision(
            inside, "Limits", f"{pool.desired} → {inside}: {word} is {inside}", history
        )
    if demand is None:
        why = "no worker is serving, so the load is unknown"
        return WorkerDecision(inside, "NotMeasured", f"{inside}: hold, {why}", history)
    upwards = _within(history, now, policy.up)
    downwards = _within(history, now, policy.down)
    least = min((one.to_grow for one in upwards), default=0)
    most = max(downwards, key=lambda one: one.to_shrink, default=demand)
    history = replace(history, at_max=_at_max(policy, history, upwards, downwards))
    if least > inside:
        if inside == policy.maximum:
            why = f"{_explain_demand(demand)} instances; maxReplicas is {policy.maximum}"
            return WorkerDecision(inside, "AtMax", f"{inside}: hold, {why}", history)
        desired = min(demand.to_grow, policy.maximum)
        return WorkerDecision(
            desired, "Grow", _explain_growth(policy, demand, inside, desired), history
        )
    if downwards and most.to_shrink < inside and inside > policy.minimum:
        if now - history.last_silent_at <= policy.down:
            why = "a ready worker did not answer, so none is removed"
            return WorkerDecision(inside, "Silent", f"{inside}: hold, {why}", history)
        desired = max(most.to_shrink, policy.minimum)
        return WorkerDecision(
            desired, "Shrink", _explain_shrink(policy, most, inside, desired), history
        )
    return WorkerDecision(
        inside, "Hold", f"{inside}: hold, {_explain_demand(demand)} instances", history
    )


def workers_for_load(
    policy: AutoscalingPolicy, load: float, spare: float, instances_per_worker: float
) -> int:
    """Return how many workers handle the load, at least one."""
    if policy.shared:
        return max(1, math.ceil(round((load + spare) / instances_per_worker, 6)))
    return max(1, math.ceil(round(load / (instances_per_worker - spare), 6)))


def spare_instances(
    policy: AutoscalingPolicy, page_seconds: float, instances_per_worker: float, load: float
) -> float:
    """Return how many instances must be idle so that at most 5 % of the pages wait longer than the
    target: in total, or per worker."""
    most = (
        max(instances_per_worker, load) if policy.shared else MAX_SPARE_SHARE * instances_per_worker
    )
    return min(WAIT_TAIL * page_seconds / policy.target, most)


def _record(
    policy: AutoscalingPolicy, history: AutoscalingHistory, pool: PoolLoad, now: float
) -> tuple[AutoscalingHistory, WorkerDemand | None]:
    """Return the history with this observation and its demand, or None if the load is unknown."""
    recorded = history.recorded
    if recorded.observed_at is not None and 0 <= now - recorded.observed_at < MIN_INTERVAL_SECONDS:
        return history, history.demands[-1] if history.demands else None
    recorded = record_load(recorded, pool.workers, now)
    last_silent_at = now if pool.silent else history.last_silent_at
    history = replace(history, recorded=recorded, last_silent_at=last_silent_at)
    serving = [each for each in pool.workers if each.serving]
    if not serving or not recorded.samples:
        return replace(history, demands=(), first_at=None), None
    demand = _demand(policy, recorded, sum(each.instances for each in serving), now)
    keep = max(policy.up, policy.down)
    demands = (*_from(history.demands, now - keep), demand)
    first_at = now if history.first_at is None else history.first_at
    return replace(history, demands=demands, first_at=first_at), demand


def _demand(
    policy: AutoscalingPolicy, recorded: LoadHistory, instances: int, now: float
) -> WorkerDemand:
    load, backlog, instances_per_worker = (
        estimate_load(recorded, policy.down),
        estimate_backlog(recorded),
        recorded.instances_per_worker,
    )
    spare = spare_instances(policy, recorded.page_seconds, instances_per_worker, load.predicted)
    late = backlog / max(1, instances) > policy.target
    catch_up = backlog / CATCH_UP_SECONDS if late else 0.0
    total = (max(load.predicted, load.short_term) if late else load.predicted) + catch_up
    return WorkerDemand(
        at=now,
        load=load,
        backlog=backlog,
        catch_up=catch_up,
        spare=spare,
        instances_per_worker=instances_per_worker,
        total=total,
        to_grow=workers_for_load(policy, total, spare, instances_per_worker),
        to_shrink=workers_for_load(
            policy, total * (1 + SHRINK_MARGIN), spare, instances_per_worker
        ),
    )


def _within(history: AutoscalingHistory, now: float, seconds: float) -> tuple[WorkerDemand, ...]:
    """Return the demands of a window; none before the pool was observed for that long."""
    if history.first_at is None or now - history.first_at < seconds:
        return ()
    return _from(history.demands, now - seconds)


def _from(demands: tuple[WorkerDemand, ...], moment: float) -> tuple[WorkerDemand, ...]:
    return demands[bisect_left(demands, moment, key=lambda one: one.at) :]


def _at_max(
    policy: AutoscalingPolicy,
    history: AutoscalingHistory,
    up: tuple[WorkerDemand, ...],
    down: tuple[WorkerDemand, ...],
) -> bool:
    """Whether more workers are needed than allowed: set after the short window, cleared after the
    long one."""
    if up and min(one.to_grow for one in up) > policy.maximum:
        return True
    return history.at_max and not (down and max(one.to_grow for one in down) <= policy.maximum)


# -- sentences ---------------------------------------------------------------------------------


def _explain_demand(demand: WorkerDemand) -> str:
    """`load 9.10 (now 7.00, predicted in 180 s) + 1.20 backlog (72 s of pages in 60 s)`."""
    load = demand.total - demand.catch_up
    text = f"load {load:.2f}"
    if load > demand.load.predicted:
        text += " in the last 30 s"
    elif load > demand.load.current:
        text += f" (now {demand.load.current:.2f}, predicted in {demand.load.lead_seconds:.0f} s)"
    return text + _explain_backlog(demand)


def _explain_backlog(demand: WorkerDemand) -> str:
    if not demand.catch_up:
        return ""
    return (
        f" + {demand.catch_up:.2f} backlog ({demand.backlog:.0f} s of pages in "
        f"{CATCH_UP_SECONDS:.0f} s)"
    )


def _explain_capacity(policy: AutoscalingPolicy, demand: WorkerDemand, workers: int) -> str:
    """Return the capacity of this many workers."""
    if policy.shared:
        return f"{workers} × {demand.instances_per_worker:.2f} − {demand.spare:.2f} spare"
    return f"{workers} × ({demand.instances_per_worker:.2f} − {demand.spare:.2f} spare)"


def _explain_growth(
    policy: AutoscalingPolicy, demand: WorkerDemand, before: int, after: int
) -> str:
    text = (
        f"{before} → {after}: {_explain_demand(demand)} > "
        f"{_explain_capacity(policy, demand, before)} instances for {policy.up:g} s"
    )
    if demand.to_grow > after:
        return f"{text}; {demand.to_grow} workers are needed, but maxReplicas is {policy.maximum}"
    return f"{text}; ≤ {_explain_capacity(policy, demand, after)}"


def _explain_shrink(
    policy: AutoscalingPolicy, demand: WorkerDemand, before: int, after: int
) -> str:
    return (
        f"{before} → {after}: ({_explain_demand(demand)}) × {1 + SHRINK_MARGIN:g} ≤ "
        f"{_explain_capacity(policy, demand, after)} instances, the maximum within "
        f"{policy.down:g} s"
    )
