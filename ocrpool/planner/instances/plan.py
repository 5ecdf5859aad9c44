"""How many instances a worker should have: one observation in, one decision with its reason out.

The rule, its formula and the reasons for it are in docs/scaling.md. In short, with
    left = free − promised + returning      what will be free when all has come that must
    fell = left at the last look − left     what others took since
    keep = 1.25 × max(reserve, fell)         what others may take before a step is felt
a worker shrinks when left < keep, and grows by one when keep and a little more would stay.
Pure: `now` is a number of seconds on the caller's own clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ocrpool.planner.instances import cooldown, explain, throughput
from ocrpool.planner.instances.explain import format_pair, format_size
from ocrpool.planner.instances.headroom import (
    NOISE_SHARE,
    MemoryHeadroom,
    measure_headroom,
    why_unusable,
)
from ocrpool.planner.instances.types import (
    InstanceDecision,
    InstanceHistory,
    InstanceLimits,
    InstanceReason,
)
from ocrpool.protocol import State

# Room for one more may be a hiccup; seen twice in a row it is believed.
OBSERVATIONS_BEFORE_GROWTH = 2
# Looks from when others begin to take memory until a step against it is felt: one until it is seen,
# a part of the next until the worker has heard and an instance has ended on its page.
REACTION_INTERVALS = 1.25
# What a growth leaves beyond that, in reserves, so that noise alone does not take it back.
GROWTH_SLACK = 0.1


def plan_instances(
    limits: InstanceLimits, history: InstanceHistory, state: State, now: float
) -> InstanceDecision:
    """Decide for one worker from one observation and what was remembered of those before."""
    instances = state.instances
    if state.counters.boots < history.boots:
        history = _after_restart(limits, history, now)
    problem = why_unusable(state)
    if problem is not None:
        return _hold(state, problem[0], problem[1], _reset_streak(history))
    if state.draining:
        return _hold(state, "Draining", "the worker drains", _reset_streak(history))
    headroom = measure_headroom(limits, history, state)
    out_of_memory = (
        history.out_of_memory is not None and state.counters.out_of_memory > history.out_of_memory
    )
    history = _record_observation(limits, history, state, headroom, now)
    case = _DecisionCase(limits, history, state, headroom, now)
    if state.footprint.bytes == 0 and not out_of_memory:
        return case.unmeasured()
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


def _after_restart(limits: InstanceLimits, history: InstanceHistory, now: float) -> InstanceHistory:
    """Another worker has taken its place and counts from nothing. Memory may be what ended the one
    before, all its instances with it: it is taken for a shrink, and what it learnt is forgotten."""
    after = cooldown.after_shrink(limits, history, now)
    return InstanceHistory(
        grow_after=after.grow_after,
        last_growth_at=after.last_growth_at,
        reverted_growths=after.reverted_growths,
        shrinks=after.shrinks,
    )


def _reset_streak(history: InstanceHistory) -> InstanceHistory:
    """After an observation that says nothing, no streak goes on."""
    return replace(history, headroom_streak=0, left=None, free=None, free_before_startup=None)


def _record_observation(
    limits: InstanceLimits,
    history: InstanceHistory,
    state: State,
    headroom: MemoryHeadroom,
    now: float,
) -> InstanceHistory:
    """The history with this observation in it; `left` is still that of the one before."""
    booting = state.instances.booting or any(one.state == "booting" for one in state.instances.each)
    headroom_streak = (
        state.footprint.bytes > 0 and headroom.headroom >= headroom.footprint + margin(limits)
    )
    return replace(
        history,
        headroom_streak=history.headroom_streak + 1 if headroom_streak else 0,
        free_before_startup=history.free_before_startup if booting else headroom.free,
        out_of_memory=state.counters.out_of_memory,
        boots=state.counters.boots,
        throughput=throughput.record_throughput(history.throughput, state, now),
    )


def margin(limits: InstanceLimits) -> int:
    """Bytes that a growth must leave beyond the reserve."""
    return math.ceil((REACTION_INTERVALS + GROWTH_SLACK - 1) * limits.reserve)


@dataclass(frozen=True, slots=True)
class _DecisionCase:
    """All that bears on one decision."""

    limits: InstanceLimits
    history: InstanceHistory
    state: State
    headroom: MemoryHeadroom
    now: float

    @property
    def current(self) -> int:
        """The number that the worker keeps now."""
        return min(self.state.instances.target, self.state.instances.ceiling)

    @property
    def taken(self) -> int:
        """Bytes that others took since the last look; 0 where that is not known."""
        before, headroom = self.history, self.headroom
        if before.left is None or before.free is None:
            return 0
        if before.footprint != headroom.footprint:
            return 0  # a new peak: it takes from what is left once, and is no pace
        # Behind a boot nobody sees a stranger until both have taken more than a footprint: then
        # it may all be his.
        behind_boot = before.free - headroom.free if headroom.startup_exceeds_footprint else 0
        return max(0, before.left - headroom.left, behind_boot)

    @property
    def keep(self) -> int:
        """Bytes that must be left, or others may have it all before the next step is felt."""
        return math.ceil(REACTION_INTERVALS * max(self.limits.reserve, self.taken))

    def _with_observation(self, step: int = 0) -> InstanceHistory:
        """The history with these headroom as the last; `step`: what will be left more."""
        headroom = self.headroom
        return replace(
            self.history,
            left=headroom.left + step,
            free=headroom.free,
            footprint=headroom.footprint,
        )

    def hold(self, reason: InstanceReason, why: str) -> InstanceDecision:
        return _hold(self.state, reason, why, self._with_observation())

    def change_to(self, target: int, reason: InstanceReason, why: str) -> InstanceDecision:
        """Another target. A smaller one begins a cool-down, longer after each relapse."""
        # What the step itself will do to what is left, so that the next look sees others' doing.
        step = (self.current - target) * self.headroom.footprint
        history = replace(self._with_observation(step), headroom_streak=0)
        if target > self.state.instances.target:
            history = cooldown.after_growth(history, self.now)
        else:
            history = cooldown.after_shrink(self.limits, history, self.now)
        return InstanceDecision(
            target, reason, f"{self.state.instances.target} → {target}: {why}", history
        )

    def unmeasured(self) -> InstanceDecision:
        """Without a footprint: one instance, to measure it."""
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
        return self.hold("NotMeasured", "the footprint is not measured yet")

    # -- fewer -----------------------------------------------------------------------------

    def shrink_after_out_of_memory(self) -> InstanceDecision:
        """At once: memory did run out. The worker may have lowered its own ceiling already."""
        fewer = self._excess_instances() if self.state.footprint.bytes else 0
        target = min(self.state.instances.target - 1, self.current - fewer)
        target = max(self.limits.minimum, target)
        why = f"out of memory (report {self.state.counters.out_of_memory})"
        if target >= self.state.instances.target:
            return self._hold_at_minimum(why)
        return self.change_to(target, "Shrink", why)

    def shrink(self) -> InstanceDecision:
        """By as many as bring back what is to be kept."""
        target = max(self.limits.minimum, self.current - self._excess_instances())
        low = explain.below_keep(self.headroom, self.taken, self.keep, REACTION_INTERVALS)
        need = explain.missing_memory(
            self.headroom, self._hidden_by_startup, self.keep, self._excess_instances()
        )
        return self.change_to(target, "Shrink", f"{low}; {need}")

    def follow_ceiling(self) -> InstanceDecision:
        ceiling = self.state.instances.ceiling
        target = max(self.limits.minimum, ceiling)
        return self.change_to(target, "AtCeiling", f"the worker allows itself {ceiling} instances")

    # -- more, or as many ------------------------------------------------------------------

    def grow_or_hold(self) -> InstanceDecision:
        """One more where every condition is met; else the first that is not."""
        headroom, limits, instances = self.headroom, self.limits, self.state.instances
        target = instances.target
        if instances.booting or instances.ready != self.current:
            why = f"{instances.ready} of {self.current} are ready"
            problem = self.state.problem
            if problem is not None:
                why += f" ({problem.reason}: {problem.message})"
            return self.hold("Booting", why)
        if target < limits.minimum:
            return self._up_to_minimum()
        obstacle = self._what_prevents_growth()
        if obstacle is not None:
            return self.hold(*obstacle)
        room = explain.headroom_sum(headroom, "≥", margin(limits))
        if self.now < self.history.grow_after:
            left = math.ceil(self.history.grow_after - self.now)
            return self.hold("CoolDown", f"{room}, but it cools down for {left} s more")
        if self.history.headroom_streak < OBSERVATIONS_BEFORE_GROWTH:
            return self.hold("Hold", f"{room}, seen once")
        if self.taken > NOISE_SHARE * limits.reserve:  # no boot begins while others take memory
            return self.hold(
                "Hold", f"{room}, but {format_size(self.taken)} went since the last look"
            )
        measured = self.history.throughput
        if measured.gained_nothing:
            return self.hold("NoGain", f"{room}, but {explain.no_gain(measured)}")
        if measured.measuring:
            return self.hold("Hold", f"{room}; measuring what the last instance brought")
        return self.change_to(target + 1, "Grow", room)

    def _what_prevents_growth(self) -> tuple[InstanceReason, str] | None:
        """What stands against one more whatever happened before."""
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
            return "AtCeiling", f"the worker allows itself {instances.ceiling} instances"
        if headroom.headroom < headroom.footprint + margin(limits):
            return "Hold", explain.headroom_sum(headroom, "<", margin(limits))
        return None

    def _up_to_minimum(self) -> InstanceDecision:
        """The user's least number may use the reserve, but no memory that is not there."""
        headroom, limits = self.headroom, self.limits
        spare = headroom.free - headroom.promised
        target = self.state.instances.target
        shown, footprint = format_pair(spare, headroom.footprint)
        sum_ = (
            f"instances.min is {limits.minimum}, {shown} ({format_size(headroom.free)} free − "
            f"{format_size(headroom.promised)} promised)"
        )
        if target >= self.state.instances.ceiling:
            ceiling = self.state.instances.ceiling
            return self.hold("AtCeiling", f"the worker allows itself {ceiling} instances")
        if spare < headroom.footprint:
            return self.hold("InsufficientMemory", f"{sum_} < {footprint} footprint")
        return self.change_to(target + 1, "Limits", f"{sum_} ≥ {footprint} footprint")

    # -- words and sums --------------------------------------------------------------------

    @property
    def _hidden_by_startup(self) -> int:
        """Bytes that are taken to be a boot's, but may be those of a stranger behind it."""
        return self.taken if self.headroom.startup_exceeds_footprint else 0

    def _excess_instances(self) -> int:
        """How many instances must go until enough is left; each gives back what it holds and what
        it was promised, which is a footprint."""
        missing = self.keep + self._hidden_by_startup - self.headroom.left
        return max(0, -(-missing // self.headroom.footprint))

    def _hold_at_minimum(self, why: str) -> InstanceDecision:
        return self.hold("InsufficientMemory", f"{why}; but instances.min is {self.limits.minimum}")
