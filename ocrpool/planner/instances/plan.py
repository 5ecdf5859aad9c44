"""Decide how many instances a worker runs, from one observation (`GET /v1/state`).

The rule, in bytes; docs/scaling.md has the formula and the reasons:
    left  = free − promised + returning         free memory once all instances have their footprint
    taken = left at the last observation − left   what other processes took since
    keep  = 1.25 × max(reserve, taken)            what they may take before a shrink has an effect
    shrink   when left < keep, by as many instances as are missing, down to instances.min
    grow     by one when footprint + 0.35 × reserve of headroom are there twice in a row
    hold     otherwise: while an instance starts, in a cool-down, or if the last one gained nothing
`plan_instances` is pure: `now` is in seconds, on any clock of the caller that never jumps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ocrpool.planner.instances import cooldown, explain
from ocrpool.planner.instances.explain import format_pair, format_size
from ocrpool.planner.instances.headroom import (
    NOISE_SHARE,
    MemoryHeadroom,
    measure_headroom,
    why_unusable,
)
from ocrpool.planner.instances.history import (
    after_restart,
    after_unusable,
    record_observation,
)
from ocrpool.planner.instances.types import (
    InstanceDecision,
    InstanceHistory,
    InstanceLimits,
    InstanceReason,
)
from ocrpool.protocol import State

# Headroom must be there in this many observations in a row: a single one may be a short dip.
OBSERVATIONS_BEFORE_GROWTH = 2
# Observation intervals from when other processes begin to take memory until a shrink has an effect:
# one until it is observed, part of the next until the worker is told and an instance has finished
# its page.
REACTION_INTERVALS = 1.25
# What growth leaves on top of that, in reserves, so that noise alone does not reverse it.
GROWTH_SLACK = 0.1


def plan_instances(
    limits: InstanceLimits, history: InstanceHistory, state: State, now: float
) -> InstanceDecision:
    """Decide for one worker, from this observation and the history of earlier ones."""
    instances = state.instances
    if state.counters.boots < history.boots:
        history = after_restart(limits, history, now)
    problem = why_unusable(state)
    if problem is not None:
        return _hold(state, problem[0], problem[1], after_unusable(history))
    if state.draining:
        return _hold(state, "Draining", "the worker is draining", after_unusable(history))
    headroom = measure_headroom(limits, history, state)
    out_of_memory = (
        history.out_of_memory is not None and state.counters.out_of_memory > history.out_of_memory
    )
    history = record_observation(history, state, headroom, margin(limits), now)
    case = _DecisionCase(limits, history, state, headroom, now)
    if state.footprint.bytes == 0 and not out_of_memory:
        return case.decide_unmeasured()
    if out_of_memory:
        return case.shrink_after_out_of_memory()
    if instances.target > limits.maximum:
        return case.change_to(limits.maximum, "Limits", f"instances.max is {limits.maximum}")
    if case.current > limits.minimum and headroom.left < case.keep:
        return case.shrink()
    if instances.target > max(instances.ceiling, limits.minimum):
        return case.follow_ceiling()
    return case.grow_or_hold()


def _hold(
    state: State, reason: InstanceReason, why: str, history: InstanceHistory
) -> InstanceDecision:
    target = state.instances.target
    return InstanceDecision(target, reason, f"{target}: hold, {why}", history)


def margin(limits: InstanceLimits) -> int:
    """Return the bytes that growth must leave free beyond the reserve."""
    return math.ceil((REACTION_INTERVALS + GROWTH_SLACK - 1) * limits.reserve)


@dataclass(frozen=True, slots=True)
class _DecisionCase:
    """The inputs of one decision, and the decisions that follow from them."""

    limits: InstanceLimits
    history: InstanceHistory
    state: State
    headroom: MemoryHeadroom
    now: float

    @property
    def current(self) -> int:
        """The number of instances that the worker keeps now."""
        return min(self.state.instances.target, self.state.instances.ceiling)

    @property
    def taken(self) -> int:
        """Bytes that other processes took since the last observation; 0 if unknown."""
        before, headroom = self.history, self.headroom
        if before.left is None or before.free is None:
            return 0
        if before.footprint != headroom.footprint:
            # A new peak of the footprint lowers `left` once; other processes took nothing.
            return 0
        # While an instance starts, memory of other processes cannot be told from its own until
        # both exceed one footprint. From then on all of it may belong to others.
        during_startup = before.free - headroom.free if headroom.startup_exceeds_footprint else 0
        return max(0, before.left - headroom.left, during_startup)

    @property
    def keep(self) -> int:
        """Bytes that must be left, so that other processes do not use up all memory before the
        next shrink has an effect."""
        return math.ceil(REACTION_INTERVALS * max(self.limits.reserve, self.taken))

    def _with_observation(self, step: int = 0) -> InstanceHistory:
        """Return the history with this headroom as the last one. `step`: bytes that the decision
        itself adds to `left`."""
        headroom = self.headroom
        return replace(
            self.history,
            left=headroom.left + step,
            free=headroom.free,
            footprint=headroom.footprint,
        )

    def hold(self, reason: InstanceReason, why: str) -> InstanceDecision:
        """Keep the target."""
        return _hold(self.state, reason, why, self._with_observation())

    def change_to(self, target: int, reason: InstanceReason, why: str) -> InstanceDecision:
        """Change the target. A smaller one starts a cool-down."""
        # The effect of the step on `left`, so that the next observation shows only what other
        # processes take.
        step = (self.current - target) * self.headroom.footprint
        history = replace(self._with_observation(step), headroom_streak=0)
        if target > self.state.instances.target:
            history = cooldown.after_growth(history, self.now)
        else:
            history = cooldown.after_shrink(self.limits, history, self.now)
        return InstanceDecision(
            target, reason, f"{self.state.instances.target} → {target}: {why}", history
        )

    def decide_unmeasured(self) -> InstanceDecision:
        """Without a measured footprint, run one instance to measure it."""
        if self.state.instances.target == 0 and self.limits.minimum > 0:
            return self.change_to(1, "Limits", "one instance, to measure its footprint")
        problem = self.state.problem
        if problem is not None and problem.reason != "Starting":
            reason: InstanceReason = (
                "InsufficientMemory" if problem.reason == "InsufficientMemory" else "NotMeasured"
            )
            return self.hold(reason, f"{problem.reason}: {problem.message}")
        if self.limits.reserve >= self.headroom.total:
            return self.hold("InsufficientMemory", explain.reserve_too_large(self.headroom))
        return self.hold("NotMeasured", "the footprint of an instance is not measured yet")

    # -- shrink ----------------------------------------------------------------------------

    def shrink_after_out_of_memory(self) -> InstanceDecision:
        """Shrink at once. The worker may already have lowered its own ceiling."""
        fewer = self._excess_instances() if self.state.footprint.bytes else 0
        target = min(self.state.instances.target - 1, self.current - fewer)
        target = max(self.limits.minimum, target)
        count = self.state.counters.out_of_memory
        why = f"the worker reported out of memory (total {count})"
        if target >= self.state.instances.target:
            return self._hold_at_minimum(why)
        return self.change_to(target, "Shrink", why)

    def shrink(self) -> InstanceDecision:
        """Shrink by as many instances as give back the missing memory."""
        target = max(self.limits.minimum, self.current - self._excess_instances())
        low = explain.below_keep(self.headroom, self.taken, self.keep, REACTION_INTERVALS)
        need = explain.missing_memory(
            self.headroom, self._hidden_by_startup, self.keep, self._excess_instances()
        )
        return self.change_to(target, "Shrink", f"{low}; {need}")

    def follow_ceiling(self) -> InstanceDecision:
        """Lower the target to what the worker allows itself."""
        target = max(self.limits.minimum, self.state.instances.ceiling)
        return self.change_to(target, "AtCeiling", self._at_ceiling())

    # -- grow or hold ----------------------------------------------------------------------

    def grow_or_hold(self) -> InstanceDecision:
        """Grow by one if every condition is met; otherwise hold and name the first that is not."""
        headroom, limits, instances = self.headroom, self.limits, self.state.instances
        target = instances.target
        if instances.booting or instances.ready != self.current:
            why = f"{instances.ready} of {self.current} instances are ready"
            problem = self.state.problem
            if problem is not None:
                why += f" ({problem.reason}: {problem.message})"
            return self.hold("Booting", why)
        if target < limits.minimum:
            return self._grow_to_minimum()
        obstacle = self._what_prevents_growth()
        if obstacle is not None:
            return self.hold(*obstacle)
        comparison = explain.headroom_sum(headroom, "≥", margin(limits))
        if self.now < self.history.grow_after:
            wait = math.ceil(self.history.grow_after - self.now)
            return self.hold("CoolDown", f"{comparison}, but in cool-down for another {wait} s")
        streak = self.history.headroom_streak
        if streak < OBSERVATIONS_BEFORE_GROWTH:
            seen = f"observed {streak} of {OBSERVATIONS_BEFORE_GROWTH} times in a row"
            return self.hold("Hold", f"{comparison}, {seen}")
        # Do not start an instance while other processes take memory.
        if self.taken > NOISE_SHARE * limits.reserve:
            others = explain.taken_by_others(self.taken)
            return self.hold("Hold", f"{comparison}, but {others}")
        measured = self.history.throughput
        if measured.gained_nothing:
            return self.hold("NoGain", f"{comparison}, but {explain.no_gain(measured)}")
        if measured.measuring:
            return self.hold("Hold", f"{comparison}; measuring the gain of the last instance")
        return self.change_to(target + 1, "Grow", comparison)

    def _what_prevents_growth(self) -> tuple[InstanceReason, str] | None:
        """Return the first obstacle that does not depend on the history, or None."""
        headroom, limits, instances = self.headroom, self.limits, self.state.instances
        if limits.reserve >= headroom.total:
            return "InsufficientMemory", explain.reserve_too_large(headroom)
        if instances.target <= limits.minimum and headroom.left < limits.reserve:
            low = explain.left_below(headroom, limits.reserve)
            return "InsufficientMemory", f"{low} reserve; but instances.min is {limits.minimum}"
        if limits.reserve + headroom.footprint > headroom.total:
            return "InsufficientMemory", explain.never_fits(headroom)
        if instances.target >= limits.maximum:
            return "AtMax", f"instances.max is {limits.maximum}"
        if instances.target >= instances.ceiling:
            return "AtCeiling", self._at_ceiling()
        if headroom.headroom < headroom.footprint + margin(limits):
            return "Hold", explain.headroom_sum(headroom, "<", margin(limits))
        return None

    def _grow_to_minimum(self) -> InstanceDecision:
        """Grow by one. Up to instances.min, instances may use the reserve, but only memory that
        is free."""
        headroom, limits = self.headroom, self.limits
        unpromised = headroom.free - headroom.promised
        target = self.state.instances.target
        shown, footprint = format_pair(unpromised, headroom.footprint)
        sum_ = (
            f"instances.min is {limits.minimum}, {shown} ({format_size(headroom.free)} free − "
            f"{format_size(headroom.promised)} promised)"
        )
        if target >= self.state.instances.ceiling:
            return self.hold("AtCeiling", self._at_ceiling())
        if unpromised < headroom.footprint:
            return self.hold("InsufficientMemory", f"{sum_} < {footprint} footprint")
        return self.change_to(target + 1, "Limits", f"{sum_} ≥ {footprint} footprint")

    # -- parts of sentences and sums -------------------------------------------------------

    @property
    def _hidden_by_startup(self) -> int:
        """Bytes that are attributed to a starting instance but may belong to other processes."""
        return self.taken if self.headroom.startup_exceeds_footprint else 0

    def _excess_instances(self) -> int:
        """Return how many instances must stop until enough is left. Each gives back one footprint:
        what it holds and what it was promised."""
        missing = self.keep + self._hidden_by_startup - self.headroom.left
        return max(0, -(-missing // self.headroom.footprint))

    def _at_ceiling(self) -> str:
        ceiling = self.state.instances.ceiling
        return f"the worker limits itself to {ceiling} instances after running out of memory"

    def _hold_at_minimum(self, why: str) -> InstanceDecision:
        return self.hold("InsufficientMemory", f"{why}; but instances.min is {self.limits.minimum}")
