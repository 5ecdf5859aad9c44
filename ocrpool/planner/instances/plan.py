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
from ocrpool.planner.instances.explain import compare, size
from ocrpool.planner.instances.headroom import NOISE, MemoryHeadroom, measure_headroom, why_unusable
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
REACTION = 1.25
# What a growth leaves beyond that, in reserves, so that noise alone does not take it back.
SLACK = 0.1


def plan_instances(
    limits: InstanceLimits, history: InstanceHistory, state: State, now: float
) -> InstanceDecision:
    """Decide for one worker from one observation and what was remembered of those before."""
    instances = state.instances
    if state.counters.boots < history.boots:
        history = _started_again(limits, history, now)
    trouble = why_unusable(state)
    if trouble is not None:
        return _hold(state, trouble[0], trouble[1], _blind(history))
    if state.draining:
        return _hold(state, "Draining", "the worker drains", _blind(history))
    figures = measure_headroom(limits, history, state)
    out_of_memory = (
        history.out_of_memory is not None and state.counters.out_of_memory > history.out_of_memory
    )
    history = _looked(limits, history, state, figures, now)
    case = _Case(limits, history, state, figures, now)
    if state.footprint.bytes == 0 and not out_of_memory:
        return case.unmeasured()
    if out_of_memory:
        return case.shrink_after_out_of_memory()
    if instances.target > limits.maximum:
        return case.to(limits.maximum, "Limits", f"instances.max is {limits.maximum}")
    if case.here > limits.minimum and figures.left < case.keep:
        return case.shrink()
    if instances.target > max(instances.ceiling, limits.minimum):
        return case.follow_ceiling()
    return case.grow_or_hold()


def _hold(
    state: State, reason: InstanceReason, why: str, history: InstanceHistory
) -> InstanceDecision:
    target = state.instances.target
    return InstanceDecision(target, reason, f"{target}: hold, {why}", history)


def _started_again(limits: InstanceLimits, history: InstanceHistory, now: float) -> InstanceHistory:
    """Another worker has taken its place and counts from nothing. Memory may be what ended the one
    before, all its instances with it: it is taken for a shrink, and what it learnt is forgotten."""
    after = cooldown.after_shrink(limits, history, now)
    return InstanceHistory(
        grow_after=after.grow_after,
        grown_at=after.grown_at,
        relapses=after.relapses,
        shrinks=after.shrinks,
    )


def _blind(history: InstanceHistory) -> InstanceHistory:
    """After an observation that says nothing, no streak goes on."""
    return replace(history, roomy=0, left=None, free=None, settled_free=None)


def _looked(
    limits: InstanceLimits,
    history: InstanceHistory,
    state: State,
    figures: MemoryHeadroom,
    now: float,
) -> InstanceHistory:
    """The history with this observation in it; `left` is still that of the one before."""
    booting = state.instances.booting or any(one.state == "booting" for one in state.instances.each)
    roomy = state.footprint.bytes > 0 and figures.room >= figures.footprint + margin(limits)
    return replace(
        history,
        roomy=history.roomy + 1 if roomy else 0,
        settled_free=history.settled_free if booting else figures.free,
        out_of_memory=state.counters.out_of_memory,
        boots=state.counters.boots,
        throughput=throughput.record_throughput(history.throughput, state, now),
    )


def margin(limits: InstanceLimits) -> int:
    """Bytes that a growth must leave beyond the reserve."""
    return math.ceil((REACTION + SLACK - 1) * limits.reserve)


@dataclass(frozen=True, slots=True)
class _Case:
    """All that bears on one decision."""

    limits: InstanceLimits
    history: InstanceHistory
    state: State
    figures: MemoryHeadroom
    now: float

    @property
    def here(self) -> int:
        """The number that the worker keeps now."""
        return min(self.state.instances.target, self.state.instances.ceiling)

    @property
    def fell(self) -> int:
        """Bytes that others took since the last look; 0 where that is not known."""
        before, figures = self.history, self.figures
        if before.left is None or before.free is None:
            return 0
        if before.footprint != figures.footprint:
            return 0  # a new peak: it takes from what is left once, and is no pace
        # Behind a boot nobody sees a stranger until both have taken more than a footprint: then
        # it may all be his.
        behind_boot = before.free - figures.free if figures.boot_sated else 0
        return max(0, before.left - figures.left, behind_boot)

    @property
    def keep(self) -> int:
        """Bytes that must be left, or others may have it all before the next step is felt."""
        return math.ceil(REACTION * max(self.limits.reserve, self.fell))

    def _seen(self, step: int = 0) -> InstanceHistory:
        """The history with these figures as the last; `step`: what will be left more."""
        figures = self.figures
        return replace(
            self.history,
            left=figures.left + step,
            free=figures.free,
            footprint=figures.footprint,
        )

    def hold(self, reason: InstanceReason, why: str) -> InstanceDecision:
        return _hold(self.state, reason, why, self._seen())

    def to(self, target: int, reason: InstanceReason, why: str) -> InstanceDecision:
        """Another target. A smaller one begins a cool-down, longer after each relapse."""
        # What the step itself will do to what is left, so that the next look sees others' doing.
        step = (self.here - target) * self.figures.footprint
        history = replace(self._seen(step), roomy=0)
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
            return self.to(1, "Limits", "one instance, to measure its footprint")
        problem = self.state.problem
        if problem is not None and problem.reason != "Starting":
            reason: InstanceReason = (
                "InsufficientMemory" if problem.reason == "InsufficientMemory" else "NotMeasured"
            )
            return self.hold(reason, f"{problem.reason}: {problem.message}")
        if self.limits.reserve >= self.figures.total:
            return self.hold("InsufficientMemory", explain.reserve_too_large(self.figures))
        return self.hold("NotMeasured", "the footprint is not measured yet")

    # -- fewer -----------------------------------------------------------------------------

    def shrink_after_out_of_memory(self) -> InstanceDecision:
        """At once: memory did run out. The worker may have lowered its own ceiling already."""
        fewer = self._too_many() if self.state.footprint.bytes else 0
        target = min(self.state.instances.target - 1, self.here - fewer)
        target = max(self.limits.minimum, target)
        why = f"out of memory (report {self.state.counters.out_of_memory})"
        if target >= self.state.instances.target:
            return self._stuck_at_minimum(why)
        return self.to(target, "Shrink", why)

    def shrink(self) -> InstanceDecision:
        """By as many as bring back what is to be kept."""
        target = max(self.limits.minimum, self.here - self._too_many())
        low = explain.too_little(self.figures, self.fell, self.keep, REACTION)
        need = explain.missing(self.figures, self._hidden, self.keep, self._too_many())
        return self.to(target, "Shrink", f"{low}; {need}")

    def follow_ceiling(self) -> InstanceDecision:
        ceiling = self.state.instances.ceiling
        target = max(self.limits.minimum, ceiling)
        return self.to(target, "AtCeiling", f"the worker allows itself {ceiling} instances")

    # -- more, or as many ------------------------------------------------------------------

    def grow_or_hold(self) -> InstanceDecision:
        """One more where every condition is met; else the first that is not."""
        figures, limits, instances = self.figures, self.limits, self.state.instances
        target = instances.target
        if instances.booting or instances.ready != self.here:
            why = f"{instances.ready} of {self.here} are ready"
            problem = self.state.problem
            if problem is not None:
                why += f" ({problem.reason}: {problem.message})"
            return self.hold("Booting", why)
        if target < limits.minimum:
            return self._up_to_minimum()
        obstacle = self._obstacle()
        if obstacle is not None:
            return self.hold(*obstacle)
        room = explain.room(figures, "≥", margin(limits))
        if self.now < self.history.grow_after:
            left = math.ceil(self.history.grow_after - self.now)
            return self.hold("CoolDown", f"{room}, but it cools down for {left} s more")
        if self.history.roomy < OBSERVATIONS_BEFORE_GROWTH:
            return self.hold("Hold", f"{room}, seen once")
        if self.fell > NOISE * limits.reserve:  # no boot begins while others take memory
            return self.hold("Hold", f"{room}, but {size(self.fell)} went since the last look")
        measured = self.history.throughput
        if measured.brought_nothing:
            return self.hold("NoGain", f"{room}, but {explain.rates(measured)}")
        if measured.measuring:
            return self.hold("Hold", f"{room}; measuring what the last instance brought")
        return self.to(target + 1, "Grow", room)

    def _obstacle(self) -> tuple[InstanceReason, str] | None:
        """What stands against one more whatever happened before."""
        figures, limits, instances = self.figures, self.limits, self.state.instances
        if limits.reserve >= figures.total:
            return "InsufficientMemory", explain.reserve_too_large(figures)
        if instances.target <= limits.minimum and figures.left < limits.reserve:
            low = explain.left_below(figures, limits.reserve)
            return "InsufficientMemory", f"{low} reserve; but instances.min is {limits.minimum}"
        if limits.reserve + figures.footprint > figures.total:
            return "InsufficientMemory", explain.fits_never(figures)
        if instances.target >= limits.maximum:
            return "AtMax", f"instances.max is {limits.maximum}"
        if instances.target >= instances.ceiling:
            return "AtCeiling", f"the worker allows itself {instances.ceiling} instances"
        if figures.room < figures.footprint + margin(limits):
            return "Hold", explain.room(figures, "<", margin(limits))
        return None

    def _up_to_minimum(self) -> InstanceDecision:
        """The user's least number may use the reserve, but no memory that is not there."""
        figures, limits = self.figures, self.limits
        spare = figures.free - figures.promised
        target = self.state.instances.target
        shown, footprint = compare(spare, figures.footprint)
        sum_ = (
            f"instances.min is {limits.minimum}, {shown} ({size(figures.free)} free − "
            f"{size(figures.promised)} promised)"
        )
        if target >= self.state.instances.ceiling:
            ceiling = self.state.instances.ceiling
            return self.hold("AtCeiling", f"the worker allows itself {ceiling} instances")
        if spare < figures.footprint:
            return self.hold("InsufficientMemory", f"{sum_} < {footprint} footprint")
        return self.to(target + 1, "Limits", f"{sum_} ≥ {footprint} footprint")

    # -- words and sums --------------------------------------------------------------------

    @property
    def _hidden(self) -> int:
        """Bytes that are taken to be a boot's, but may be those of a stranger behind it."""
        return self.fell if self.figures.boot_sated else 0

    def _too_many(self) -> int:
        """How many instances must go until enough is left; each gives back what it holds and what
        it was promised, which is a footprint."""
        missing = self.keep + self._hidden - self.figures.left
        return max(0, -(-missing // self.figures.footprint))

    def _stuck_at_minimum(self, why: str) -> InstanceDecision:
        return self.hold("InsufficientMemory", f"{why}; but instances.min is {self.limits.minimum}")
