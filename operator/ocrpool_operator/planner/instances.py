"""How many instances a worker should have: one observation in, one decision with its reason out.

The rule, its formula and the reasons for it are in docs/scaling.md. In short, with
    room = free − reserve − promised        promised = Σ max(0, footprint − held)
    left = free − promised + returning      returning = what leaving instances still hold
a worker grows by one when room ≥ footprint, and shrinks when left is, or is about to be, too
little.
Pure: `now` is a number of seconds on the caller's own clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ocrpool_operator.planner import cooldown, throughput, words
from ocrpool_operator.planner.account import Account, account, unusable
from ocrpool_operator.planner.types import Decision, History, Limits, Reason
from ocrpool_operator.planner.words import compare, size
from ocrpool_wire import State

# One observation may be a hiccup; two in a row are believed.
IN_A_ROW = 2
# The reserve is whole while so much of it is left; the rest is for noise in what is observed.
WHOLE_SHARE = 7 / 8
# At the pace of the last look, what is left must last for so many more: one passes before the next
# look, and a part of the second until an instance has ended.
HORIZON = 2
# What is left after a boot was a whole reserve when it began. If much of it goes before the boot
# ends, a stranger grows at the same time, hidden by the boot: the boot is given up.
BOOT_SHARE = 3 / 4
# No boot begins while memory goes faster than so much of the reserve in one observation.
CALM_SHARE = 1 / 8


def plan(limits: Limits, history: History, state: State, now: float) -> Decision:
    """Decide for one worker from one observation and what was remembered of those before."""
    instances = state.instances
    if state.counters.boots < history.boots:
        history = History()  # another worker has taken its place
    trouble = unusable(state)
    if trouble is not None:
        return _hold(state, trouble[0], trouble[1], _blind(history))
    if state.draining:
        return _hold(state, "Draining", "the worker drains", _blind(history))
    figures = account(limits, history, state)
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
    why_low = case.why_low()
    if why_low is not None:
        return case.shrink(why_low)
    if instances.target > max(instances.ceiling, limits.minimum):
        return case.follow_ceiling()
    return case.grow_or_hold()


def _hold(state: State, reason: Reason, why: str, history: History) -> Decision:
    target = state.instances.target
    return Decision(target, reason, f"{target}: hold, {why}", history)


def _blind(history: History) -> History:
    """After an observation that says nothing, no streak goes on."""
    return replace(history, roomy=0, low=0, left=None, free=None, settled_free=None)


def _looked(
    limits: Limits, history: History, state: State, figures: Account, now: float
) -> History:
    """The history with this observation in it; `left` is still that of the one before."""
    left, reserve = figures.left, limits.reserve
    booting = state.instances.booting or any(one.state == "booting" for one in state.instances.each)
    measured = state.footprint.bytes > 0
    return replace(
        history,
        roomy=history.roomy + 1 if measured and figures.room >= figures.footprint else 0,
        low=history.low + 1 if left < WHOLE_SHARE * reserve else 0,
        settled_free=history.settled_free if booting else figures.free,
        out_of_memory=state.counters.out_of_memory,
        boots=state.counters.boots,
        throughput=throughput.observe(history.throughput, state, now),
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """All that bears on one decision."""

    limits: Limits
    history: History
    state: State
    figures: Account
    now: float

    @property
    def here(self) -> int:
        """The number that the worker keeps now."""
        return min(self.state.instances.target, self.state.instances.ceiling)

    def _seen(self, step: int = 0) -> History:
        """The history with these figures as the last; `step`: what will be left more."""
        figures = self.figures
        return replace(
            self.history,
            left=figures.left + step,
            free=figures.free,
            footprint=figures.footprint,
        )

    def hold(self, reason: Reason, why: str) -> Decision:
        return _hold(self.state, reason, why, self._seen())

    def to(self, target: int, reason: Reason, why: str) -> Decision:
        """Another target. A smaller one begins a cool-down, longer after each relapse."""
        # What the step itself will do to what is left, so that the next look sees others' doing.
        step = (self.here - target) * self.figures.footprint
        history = replace(self._seen(step), roomy=0, low=0)
        if target > self.state.instances.target:
            history = cooldown.grown(history, self.now)
        else:
            history = cooldown.shrunk(self.limits, history, self.now)
        return Decision(target, reason, f"{self.state.instances.target} → {target}: {why}", history)

    def unmeasured(self) -> Decision:
        """Without a footprint: one instance, to measure it."""
        if self.state.instances.target == 0 and self.limits.minimum > 0:
            return self.to(1, "Limits", "one instance, to measure its footprint")
        problem = self.state.problem
        if problem is not None and problem.reason != "Starting":
            reason: Reason = (
                "InsufficientMemory" if problem.reason == "InsufficientMemory" else "NotMeasured"
            )
            return self.hold(reason, f"{problem.reason}: {problem.message}")
        if self.limits.reserve >= self.figures.total:
            return self.hold("InsufficientMemory", words.reserve_too_large(self.figures))
        return self.hold("NotMeasured", "the footprint is not measured yet")

    # -- fewer -----------------------------------------------------------------------------

    def shrink_after_out_of_memory(self) -> Decision:
        """At once: memory did run out. The worker may have lowered its own ceiling already."""
        missing = self._missing() if self.state.footprint.bytes else 0
        target = min(self.here, self.state.instances.target - 1, self.here - missing)
        target = max(self.limits.minimum, target)
        why = f"out of memory (report {self.state.counters.out_of_memory})"
        if target >= self.state.instances.target:
            return self._stuck_at_minimum(why)
        return self.to(target, "Shrink", why)

    def why_low(self) -> str | None:
        """Why there must be fewer instances, or None."""
        reserve, left, falling = self.limits.reserve, self.figures.left, self._falling()
        whole = math.ceil(WHOLE_SHARE * reserve)
        streak = self.history.low >= IN_A_ROW
        if streak or (left < whole and falling > CALM_SHARE * reserve):
            bound = words.left_below(self.figures, whole)
            times = f"{self.history.low} times in a row"
            went = f"and {size(falling)} went since the last look"
            part = f"seven eighths of the {size(reserve)} reserve"
            return f"{bound}, {part}, {times if streak else went}"
        if left < reserve and left < falling * HORIZON:
            bound = words.left_below(self.figures, falling * HORIZON)
            return f"{bound}, {HORIZON} times the {size(falling)} that went since the last look"
        gone = (self.history.free or 0) - self.figures.free
        if self.figures.boot_sated and gone > 0 and left < gone * HORIZON:
            bound = words.left_below(self.figures, gone * HORIZON)
            return f"{bound}, {HORIZON} times the {size(gone)} that a stranger took behind a boot"
        if self.state.instances.booting and left < BOOT_SHARE * reserve:
            bound = words.left_below(self.figures, math.ceil(BOOT_SHARE * reserve))
            return f"{bound}, three quarters of the {size(reserve)} reserve, while one boots"
        return None

    def shrink(self, why: str) -> Decision:
        """By as many as bring the reserve back."""
        fewer = self._missing()
        target = max(self.limits.minimum, self.here - fewer)
        if target >= self.state.instances.target:
            return self._stuck_at_minimum(why)
        given = f"; {fewer} × {size(self.figures.footprint)} footprint brings the reserve back"
        return self.to(target, "Shrink", why + given)

    def follow_ceiling(self) -> Decision:
        ceiling = self.state.instances.ceiling
        target = max(self.limits.minimum, ceiling)
        return self.to(target, "AtCeiling", f"the worker allows itself {ceiling} instances")

    # -- more, or as many ------------------------------------------------------------------

    def grow_or_hold(self) -> Decision:
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
        room = words.room(figures, "≥")
        if self.now < self.history.grow_after:
            left = math.ceil(self.history.grow_after - self.now)
            return self.hold("CoolDown", f"{room}, but it cools down for {left} s more")
        if self.history.roomy < IN_A_ROW:
            return self.hold("Hold", f"{room}, seen once")
        falling = self._falling()
        if falling > CALM_SHARE * limits.reserve:
            return self.hold("Hold", f"{room}, but {size(falling)} went since the last look")
        measured = self.history.throughput
        if measured.brought_nothing:
            return self.hold("NoGain", f"{room}, but {words.rates(measured)}")
        if measured.measuring:
            return self.hold("Hold", f"{room}; measuring what the last instance brought")
        return self.to(target + 1, "Grow", room)

    def _obstacle(self) -> tuple[Reason, str] | None:
        """What stands against one more whatever happened before."""
        figures, limits, instances = self.figures, self.limits, self.state.instances
        if limits.reserve >= figures.total:
            return "InsufficientMemory", words.reserve_too_large(figures)
        if limits.reserve + figures.footprint > figures.total:
            return "InsufficientMemory", words.fits_never(figures)
        if instances.target >= limits.maximum:
            return "AtMax", f"instances.max is {limits.maximum}"
        if instances.target >= instances.ceiling:
            return "AtCeiling", f"the worker allows itself {instances.ceiling} instances"
        if figures.room < figures.footprint:
            return "Hold", words.room(figures, "<")
        return None

    def _up_to_minimum(self) -> Decision:
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

    def _falling(self) -> int:
        """Bytes that went since the last look, our own steps aside; 0 where that is not known."""
        before = self.history.left
        return max(0, before - self.figures.left) if before is not None else 0

    def _missing(self) -> int:
        """How many instances must go until the reserve is whole again, and stays so for one more
        look if memory goes on going; each gives back what it holds and what it was promised,
        which is a footprint."""
        # A new peak takes from what is left once, and is no pace.
        steady = self.history.footprint == self.figures.footprint
        falling = min(self._falling(), self.limits.reserve) if steady else 0
        deficit = self.limits.reserve - self.figures.left + falling
        return max(0, -(-deficit // self.figures.footprint))

    def _stuck_at_minimum(self, why: str) -> Decision:
        return self.hold("InsufficientMemory", f"{why}; but instances.min is {self.limits.minimum}")
