"""How many workers a pool should have: looks at its workers in, a number with its reason out.

The rule, its formula and the reasons for it are in docs/autoscaling.md. In short, in instances,
    wanted = ⌈(load soon + backlog / 60 s + spare) / instances of a full worker⌉
    spare  = 3 × seconds of a page / targetQueueSeconds
It grows to what is wanted now where more was wanted all through a short window, and shrinks to the
most that was wanted, with a margin, within a long one.
Pure: `now` is a number of seconds on the caller's own clock.
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

# With so many idle instances, at most 5 % of the pages wait longer than the target: waits have the
# tail exp(−idle × target / page) in a queue before many instances, and e⁻³ = 5 %.
WAIT_TAIL = 3.0
# A target far below what a page takes asks for more idle instances than make sense: with a queue
# at each worker half of each is used, with one for all as much is spare as is busy.
MAX_SPARE_SHARE = 0.5
# What waits already, where that is more than the target, is worked off within so long.
CATCH_UP_SECONDS = 60.0
# A worker is only given back when the others could carry so much more than the load.
SHRINK_MARGIN = 0.05
# Looks that come closer than this are one.
MIN_INTERVAL_SECONDS = 0.4

WorkerDecisionReason = Literal["Grow", "Shrink", "Hold", "Limits", "AtMax", "Silent", "NotMeasured"]


@dataclass(frozen=True, slots=True)
class AutoscalingPolicy:
    """What the user allows. `up` and `down` are seconds for which more, or fewer, must have been
    wanted. `shared`: one queue before all workers (a proxy that knows who is free), instead of a
    queue at each."""

    minimum: int
    maximum: int
    target: float
    up: float = 30.0
    down: float = 300.0
    shared: bool = False


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """One look at a pool. `silent`: workers that serve and tell nothing."""

    workers: tuple[WorkerLoad, ...]
    desired: int
    silent: int = 0


@dataclass(frozen=True, slots=True)
class WorkerDemand:
    """What one look asks for, and the sum that it comes from, in instances; before the limits."""

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
    """What one round hands to the next. A default one is right for a pool that was never pool."""

    recorded: LoadHistory = field(default_factory=LoadHistory)
    demands: tuple[WorkerDemand, ...] = ()
    first_at: float | None = None
    at_max: bool = False
    last_silent_at: float = -math.inf


@dataclass(frozen=True, slots=True)
class WorkerDecision:
    """`desired`: workers there shall be. `sentence` can be checked with its own numbers."""

    desired: int
    reason: WorkerDecisionReason
    sentence: str
    history: AutoscalingHistory


def decide_worker_count(
    policy: AutoscalingPolicy, history: AutoscalingHistory, pool: PoolLoad, now: float
) -> WorkerDecision:
    """Decide for one pool from one look and what was remembered of those before."""
    history, demand = _record(policy, history, pool, now)
    inside = min(max(pool.desired, policy.minimum), policy.maximum)
    if inside != pool.desired:
        word = "minReplicas" if inside > pool.desired else "maxReplicas"
        return WorkerDecision(
            inside, "Limits", f"{pool.desired} → {inside}: {word} is {inside}", history
        )
    if demand is None:
        why = "no worker serves yet, so nothing is measured"
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
            why = "a worker that serves told nothing, so none is given back"
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
    """Workers of `instances_per_worker` instances each for so much load, at least one."""
    if policy.shared:
        return max(1, math.ceil(round((load + spare) / instances_per_worker, 6)))
    return max(1, math.ceil(round(load / (instances_per_worker - spare), 6)))


def spare_instances(
    policy: AutoscalingPolicy, page_seconds: float, instances_per_worker: float, load: float
) -> float:
    """Instances that must be idle so that a page rarely waits longer than the target: of all, or
    of each worker."""
    most = (
        max(instances_per_worker, load) if policy.shared else MAX_SPARE_SHARE * instances_per_worker
    )
    return min(WAIT_TAIL * page_seconds / policy.target, most)


def _record(
    policy: AutoscalingPolicy, history: AutoscalingHistory, pool: PoolLoad, now: float
) -> tuple[AutoscalingHistory, WorkerDemand | None]:
    """The history with this look in it, and what it asks for; None where nothing is known."""
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
    """The looks of a window; none before the pool has been looked at for that long."""
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
    """More is needed than is allowed: said after the short window, taken back after the long."""
    if up and min(one.to_grow for one in up) > policy.maximum:
        return True
    return history.at_max and not (down and max(one.to_grow for one in down) <= policy.maximum)


# -- sentences ---------------------------------------------------------------------------------


def _explain_demand(demand: WorkerDemand) -> str:
    """`load 9.10 (now 7.00, so much in 180 s) + 1.20 backlog (72 s of pages in 60 s)`."""
    load = demand.total - demand.catch_up
    text = f"load {load:.2f}"
    if load > demand.load.predicted:
        text += " in the last half minute"
    elif load > demand.load.current:
        text += f" (now {demand.load.current:.2f}, so much in {demand.load.lead_seconds:.0f} s)"
    return text + _explain_backlog(demand)


def _explain_backlog(demand: WorkerDemand) -> str:
    if not demand.catch_up:
        return ""
    return (
        f" + {demand.catch_up:.2f} backlog ({demand.backlog:.0f} s of pages in "
        f"{CATCH_UP_SECONDS:.0f} s)"
    )


def _explain_capacity(policy: AutoscalingPolicy, demand: WorkerDemand, workers: int) -> str:
    """What so many workers carry."""
    if policy.shared:
        return f"{workers} × {demand.instances_per_worker:.2f} − {demand.spare:.2f} spare"
    return f"{workers} × ({demand.instances_per_worker:.2f} − {demand.spare:.2f} spare)"


def _explain_growth(
    policy: AutoscalingPolicy, demand: WorkerDemand, before: int, after: int
) -> str:
    text = (
        f"{before} → {after}: {_explain_demand(demand)} > {_explain_capacity(policy, demand, before)} instances, more "
        f"for {policy.up:g} s"
    )
    if demand.to_grow > after:
        return f"{text}; it takes {demand.to_grow}, but maxReplicas is {policy.maximum}"
    return f"{text}; ≤ {_explain_capacity(policy, demand, after)}"


def _explain_shrink(
    policy: AutoscalingPolicy, demand: WorkerDemand, before: int, after: int
) -> str:
    return (
        f"{before} → {after}: ({_explain_demand(demand)}) × {1 + SHRINK_MARGIN:g} ≤ "
        f"{_explain_capacity(policy, demand, after)} instances, the most within {policy.down:g} s"
    )
