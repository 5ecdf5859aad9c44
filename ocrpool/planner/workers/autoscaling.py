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
TAIL = 3.0
# A target far below what a page takes asks for more idle instances than make sense: with a queue
# at each worker half of each is used, with one for all as much is spare as is busy.
MOST_SPARE = 0.5
# What waits already, where that is more than the target, is worked off within so long.
CATCH_UP_SECONDS = 60.0
# A worker is only given back when the others could carry so much more than the load.
MARGIN = 0.05
# Looks that come closer than this are one.
LEAST_SECONDS = 0.4

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
    slots: float
    total: float
    more: int
    fewer: int


@dataclass(frozen=True, slots=True)
class AutoscalingHistory:
    """What one round hands to the next. A default one is right for a pool that was never seen."""

    past: LoadHistory = field(default_factory=LoadHistory)
    needs: tuple[WorkerDemand, ...] = ()
    since: float | None = None
    at_max: bool = False
    silent_at: float = -math.inf


@dataclass(frozen=True, slots=True)
class WorkerDecision:
    """`desired`: workers there shall be. `sentence` can be checked with its own numbers."""

    desired: int
    reason: WorkerDecisionReason
    sentence: str
    history: AutoscalingHistory


def decide_worker_count(
    policy: AutoscalingPolicy, history: AutoscalingHistory, seen: PoolLoad, now: float
) -> WorkerDecision:
    """Decide for one pool from one look and what was remembered of those before."""
    history, need = _looked(policy, history, seen, now)
    inside = min(max(seen.desired, policy.minimum), policy.maximum)
    if inside != seen.desired:
        word = "minReplicas" if inside > seen.desired else "maxReplicas"
        return WorkerDecision(
            inside, "Limits", f"{seen.desired} → {inside}: {word} is {inside}", history
        )
    if need is None:
        why = "no worker serves yet, so nothing is measured"
        return WorkerDecision(inside, "NotMeasured", f"{inside}: hold, {why}", history)
    upwards = _within(history, now, policy.up)
    downwards = _within(history, now, policy.down)
    least = min((one.more for one in upwards), default=0)
    most = max(downwards, key=lambda one: one.fewer, default=need)
    history = replace(history, at_max=_at_max(policy, history, upwards, downwards))
    if least > inside:
        if inside == policy.maximum:
            why = f"{_sum(need)} instances; maxReplicas is {policy.maximum}"
            return WorkerDecision(inside, "AtMax", f"{inside}: hold, {why}", history)
        desired = min(need.more, policy.maximum)
        return WorkerDecision(desired, "Grow", _grown(policy, need, inside, desired), history)
    if downwards and most.fewer < inside and inside > policy.minimum:
        if now - history.silent_at <= policy.down:
            why = "a worker that serves told nothing, so none is given back"
            return WorkerDecision(inside, "Silent", f"{inside}: hold, {why}", history)
        desired = max(most.fewer, policy.minimum)
        return WorkerDecision(desired, "Shrink", _shrunk(policy, most, inside, desired), history)
    return WorkerDecision(inside, "Hold", f"{inside}: hold, {_sum(need)} instances", history)


def workers_for_load(policy: AutoscalingPolicy, load: float, spare: float, slots: float) -> int:
    """Workers of `slots` instances each for so much load, at least one."""
    if policy.shared:
        return max(1, math.ceil(round((load + spare) / slots, 6)))
    return max(1, math.ceil(round(load / (slots - spare), 6)))


def spare_instances(
    policy: AutoscalingPolicy, page_seconds: float, slots: float, load: float
) -> float:
    """Instances that must be idle so that a page rarely waits longer than the target: of all, or
    of each worker."""
    most = max(slots, load) if policy.shared else MOST_SPARE * slots
    return min(TAIL * page_seconds / policy.target, most)


def _looked(
    policy: AutoscalingPolicy, history: AutoscalingHistory, seen: PoolLoad, now: float
) -> tuple[AutoscalingHistory, WorkerDemand | None]:
    """The history with this look in it, and what it asks for; None where nothing is known."""
    past = history.past
    if past.at is not None and 0 <= now - past.at < LEAST_SECONDS:
        return history, history.needs[-1] if history.needs else None
    past = record_load(past, seen.workers, now)
    silent_at = now if seen.silent else history.silent_at
    history = replace(history, past=past, silent_at=silent_at)
    serving = [each for each in seen.workers if each.serving]
    if not serving or not past.samples:
        return replace(history, needs=(), since=None), None
    need = _need(policy, past, sum(each.instances for each in serving), now)
    keep = max(policy.up, policy.down)
    needs = (*_since(history.needs, now - keep), need)
    since = now if history.since is None else history.since
    return replace(history, needs=needs, since=since), need


def _need(policy: AutoscalingPolicy, past: LoadHistory, instances: int, now: float) -> WorkerDemand:
    load, backlog, slots = estimate_load(past, policy.down), estimate_backlog(past), past.slots
    spare = spare_instances(policy, past.page_seconds, slots, load.soon)
    late = backlog / max(1, instances) > policy.target
    catch_up = backlog / CATCH_UP_SECONDS if late else 0.0
    total = (max(load.soon, load.fast) if late else load.soon) + catch_up
    return WorkerDemand(
        at=now,
        load=load,
        backlog=backlog,
        catch_up=catch_up,
        spare=spare,
        slots=slots,
        total=total,
        more=workers_for_load(policy, total, spare, slots),
        fewer=workers_for_load(policy, total * (1 + MARGIN), spare, slots),
    )


def _within(history: AutoscalingHistory, now: float, seconds: float) -> tuple[WorkerDemand, ...]:
    """The looks of a window; none before the pool has been looked at for that long."""
    if history.since is None or now - history.since < seconds:
        return ()
    return _since(history.needs, now - seconds)


def _since(needs: tuple[WorkerDemand, ...], moment: float) -> tuple[WorkerDemand, ...]:
    return needs[bisect_left(needs, moment, key=lambda one: one.at) :]


def _at_max(
    policy: AutoscalingPolicy,
    history: AutoscalingHistory,
    up: tuple[WorkerDemand, ...],
    down: tuple[WorkerDemand, ...],
) -> bool:
    """More is needed than is allowed: said after the short window, taken back after the long."""
    if up and min(one.more for one in up) > policy.maximum:
        return True
    return history.at_max and not (down and max(one.more for one in down) <= policy.maximum)


# -- sentences ---------------------------------------------------------------------------------


def _sum(need: WorkerDemand) -> str:
    """`load 9.10 (now 7.00, so much in 180 s) + 1.20 backlog (72 s of pages in 60 s)`."""
    load = need.total - need.catch_up
    text = f"load {load:.2f}"
    if load > need.load.soon:
        text += " in the last half minute"
    elif load > need.load.now:
        text += f" (now {need.load.now:.2f}, so much in {need.load.lead:.0f} s)"
    return text + _backlog(need)


def _backlog(need: WorkerDemand) -> str:
    if not need.catch_up:
        return ""
    return (
        f" + {need.catch_up:.2f} backlog ({need.backlog:.0f} s of pages in "
        f"{CATCH_UP_SECONDS:.0f} s)"
    )


def _holds(policy: AutoscalingPolicy, need: WorkerDemand, workers: int) -> str:
    """What so many workers carry."""
    if policy.shared:
        return f"{workers} × {need.slots:.2f} − {need.spare:.2f} spare"
    return f"{workers} × ({need.slots:.2f} − {need.spare:.2f} spare)"


def _grown(policy: AutoscalingPolicy, need: WorkerDemand, before: int, after: int) -> str:
    text = (
        f"{before} → {after}: {_sum(need)} > {_holds(policy, need, before)} instances, more "
        f"for {policy.up:g} s"
    )
    if need.more > after:
        return f"{text}; it takes {need.more}, but maxReplicas is {policy.maximum}"
    return f"{text}; ≤ {_holds(policy, need, after)}"


def _shrunk(policy: AutoscalingPolicy, need: WorkerDemand, before: int, after: int) -> str:
    return (
        f"{before} → {after}: ({_sum(need)}) × {1 + MARGIN:g} ≤ "
        f"{_holds(policy, need, after)} instances, the most within {policy.down:g} s"
    )
