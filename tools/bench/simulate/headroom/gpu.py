"""A simulated worker on a simulated GPU: instances start, grow, crash and retire.

It behaves as a real worker does. Instances start one at a time, the newest retires first, and an
instance that exits is replaced. When memory runs out, the newest instance exits and the worker
lowers its ceiling by one.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from ocrpool.planner.simulated_state import simulated_device, simulated_instance, simulated_state
from ocrpool.protocol import Counters, Instance, Memory, State
from ocrpool.protocol.state import InstanceState
from ocrpool_worker.supervisor.memory_guard import MemoryGuard
from tools.bench.simulate.headroom.traces import FINE, Trace

CEILING_SECONDS = 300.0
# How often the worker observes its device.
WATCH_SECONDS = 1.0
_NEVER = math.inf


@dataclass(slots=True)
class SimulatedInstance:
    """`meets`: when it next reads a page larger than all before. `held`: bytes of GPU memory.
    `reported`: what the worker last reported about it."""

    number: int
    born: float
    ready: float
    peak: int
    held: int = 0
    gone: float = _NEVER
    meets: float = _NEVER
    level: int = 0
    crash: float = _NEVER

    reported: Instance | None = None

    def holds(self, now: float) -> int:
        if now < self.ready:
            return int(self.peak * max(0.0, now - self.born) / (self.ready - self.born))
        return self.held


class SimulatedGpu:
    """Runs one trace, an interval at a time."""

    def __init__(self, trace: Trace, *, memory_guard: bool = False) -> None:
        """`memory_guard`: with the worker's guard. A simulation of the planner is without it."""
        self.trace = trace
        self._memory_guard = MemoryGuard(trace.reserve) if memory_guard else None
        self._watch_at = WATCH_SECONDS if memory_guard else _NEVER
        self.instances: list[SimulatedInstance] = []
        self.target = 1
        self.now = 0.0
        self.footprint = 0
        self.out_of_memory = 0
        self.guarded = 0
        self.ready_seconds = 0.0
        # Bytes that instances took for larger pages since this was last set to 0.
        self.ratcheted = 0
        self._boots = self._numbers = 0
        self._ceiling, self._raise_at = trace.maximum, _NEVER
        self._dice = random.Random(~trace.seed)
        self._curve: list[float] = trace.other_processes.tolist()
        self._reported: tuple[object, ...] = ()
        self._state: State | None = None
        self._adjust_instances()

    # -- what the planner observes and does ---------------------------------------------------

    def state(self) -> State:
        """The state that the worker reports now, with the noise of the trace on `free`."""
        trace, now = self.trace, self.now
        free = self._free()
        each = tuple(_report_instance(one, now) for one in self.instances)
        reported = (
            each,
            self.target,
            self._ceiling,
            self.footprint,
            self.out_of_memory,
            self._boots,
        )
        device = simulated_device(trace.total, free)
        if self._state is None or reported != self._reported:  # built again only after a change
            self._reported = reported
            self._state = simulated_state(
                device,
                each,
                footprint=self.footprint,
                target=self.target,
                ceiling=self._ceiling,
                counters=Counters(out_of_memory=self.out_of_memory, boots=self._boots),
            )
        return self._state.model_copy(update={"device": device})

    def _free(self) -> int:
        trace = self.trace
        free = trace.total - self.ours() - self.other_processes(self.now)
        return int(min(max(free + self._dice.gauss(0.0, trace.noise), 0), trace.total))

    def set_target(self, target: int) -> None:
        self.target = target
        self._adjust_instances()

    # -- time ---------------------------------------------------------------------------------

    def ours(self) -> int:
        now = self.now
        return sum(one.holds(now) for one in self.instances)

    def other_processes(self, now: float) -> float:
        place = now / self.trace.interval * FINE
        low = int(place)
        if low + 1 >= len(self._curve):
            return self._curve[-1]
        return self._curve[low] + (self._curve[low + 1] - self._curve[low]) * (place - low)

    def run_until(self, end: float) -> None:
        """Advance the time to `end`, from event to event."""
        while True:
            nearest = min((self._next(one) for one in self.instances), default=_NEVER)
            nearest = min(nearest, self._raise_at, self._watch_at)
            until = min(nearest, end)
            self._advance(until)
            if nearest > end:
                return
            self._apply_events()

    def _next(self, one: SimulatedInstance) -> float:
        if self.now < one.ready:
            return min(one.ready, one.gone)
        return min(one.gone, one.meets, one.crash)

    def _advance(self, until: float) -> None:
        """Advance to `until` without an event; only memory grows. Check every fine point on the
        way."""
        begin, self.now = self.now, until
        length = until - begin
        if length > 0:
            ready = sum(begin >= one.ready and one.gone == _NEVER for one in self.instances)
            self.ready_seconds += ready * length
        width = self.trace.interval / FINE
        most = self.ours()  # between events our memory only grows
        low, high = int(begin / width), min(int(until / width) + 1, len(self._curve) - 1)
        if most + max(self._curve[low : high + 1]) <= self.trace.total:
            return
        for point in range(low + 1, high):
            self.now = point * width
            if begin < self.now < until and self._over_total():
                self._run_out()
        self.now = until
        if self._over_total():
            self._run_out()

    def _over_total(self) -> bool:
        return self.ours() + self.other_processes(self.now) > self.trace.total

    def _apply_events(self) -> None:
        now, alive = self.now, []
        if now >= self._watch_at:
            self._watch_at = now + WATCH_SECONDS
            self._observe_device()
        if now >= self._raise_at:
            self._ceiling += 1
            self._raise_at = now + CEILING_SECONDS
            if self._ceiling >= self.trace.maximum:
                self._ceiling, self._raise_at = self.trace.maximum, _NEVER
        for one in self.instances:
            if now >= one.gone or now >= one.crash:
                continue
            alive.append(one)
            if now >= one.ready and not one.held:
                one.held = one.peak
                self._boots += 1
                self._plan_next_page(one)
            if now >= one.meets:
                held, one.held = one.held, max(one.held, self.trace.peaks[one.level][1])
                self.ratcheted += one.held - held
                self._plan_next_page(one)
            self.footprint = max(self.footprint, one.held)
        self.instances = alive
        if self._over_total():
            self._run_out()
        self._adjust_instances()

    def _plan_next_page(self, one: SimulatedInstance) -> None:
        """Draw the time at which it reads its next larger page."""
        one.level += 1
        if one.level < len(self.trace.peaks):
            since = max(self.now, self.trace.peaks[one.level][0])
            one.meets = since + self._dice.expovariate(1 / self.trace.spread)
        else:
            one.meets = _NEVER

    def _observe_device(self) -> None:
        """The worker observes its device. If its memory guard asks for it, the newest of several
        instances retires and the ceiling is lowered by one."""
        free = self._free()
        memory = Memory(total=self.trace.total, used=self.trace.total - free, free=free)
        if self._memory_guard is None or not self._memory_guard.should_shrink(memory):
            return
        here = [one for one in self.instances if one.gone == _NEVER]
        if len(here) < 2:
            return
        self.guarded += 1
        newest = max(here, key=lambda one: one.number)
        # An instance that starts is killed; any other first ends its page.
        newest.gone = self.now + (self.trace.exit_seconds if self.now >= newest.ready else 0.0)
        self._ceiling = min(self._ceiling, len(here) - 1)
        self._raise_at = self.now + CEILING_SECONDS

    def _run_out(self) -> None:
        """Out of memory: the newest instance exits, and the ceiling is lowered."""
        self.out_of_memory += 1
        if self.instances:
            newest = max(self.instances, key=lambda one: one.number)
            self.instances.remove(newest)
            self._ceiling = max(1, min(self._ceiling, len(self.instances)))
            self._raise_at = self.now + CEILING_SECONDS

    def _adjust_instances(self) -> None:
        now, trace = self.now, self.trace
        here = [one for one in self.instances if one.gone == _NEVER]
        wanted = min(self.target, self._ceiling)
        for one in sorted(here, key=lambda one: -one.number)[: max(0, len(here) - wanted)]:
            one.gone = now + trace.exit_seconds
        if len(self.instances) < wanted and all(now >= one.ready for one in here):
            self._numbers += 1
            warm = int(trace.peaks[0][1] * self._dice.uniform(0.99, 1.01))
            one = SimulatedInstance(
                self._numbers, now, now + trace.startup * self._dice.uniform(0.8, 1.2), warm
            )
            if trace.crash:
                one.crash = one.ready + self._dice.expovariate(trace.crash)
            self.instances.append(one)


def _report_instance(one: SimulatedInstance, now: float) -> Instance:
    """The instance as the worker reports it. The worker learns its memory when it is warm, and
    then with each page."""
    state: InstanceState = "idle"
    if one.gone < _NEVER:
        state = "retiring"
    elif now < one.ready:
        state = "booting"
    held = 0 if now < one.ready else one.held
    if one.reported is None or one.reported.state != state or one.reported.memory != held:
        one.reported = simulated_instance(held, state, one.number)
    return one.reported
