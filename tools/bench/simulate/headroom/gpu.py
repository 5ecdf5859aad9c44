"""A simulated worker on a simulated GPU: instances boot, ratchet, crash, retire; memory adds up.

It keeps the contract of a real worker: instances boot one at a time, the newest go first, one that
dies is replaced, and where memory runs out the newest dies and the ceiling is lowered.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

from ocrpool.protocol import Counters, Device, Footprint, Instance, Instances, Memory, Queue, State
from ocrpool.protocol.state import InstanceState
from ocrpool_worker.supervisor.memory_guard import MemoryGuard
from tools.bench.simulate.headroom.traces import FINE, Trace

CEILING_SECONDS = 300.0
# The worker looks at its device so often.
WATCH_SECONDS = 1.0
_QUEUE = Queue(depth=0, capacity=64, oldest_seconds=0.0)
_NEVER = math.inf


@dataclass(slots=True)
class SimulatedInstance:
    """`meets`: when it will next read a page larger than all before it, and what it holds then."""

    number: int
    born: float
    ready: float
    peak: int
    held: int = 0
    gone: float = _NEVER
    meets: float = _NEVER
    level: int = 0
    crash: float = _NEVER

    told: Instance | None = None

    def holds(self, now: float) -> int:
        if now < self.ready:
            return int(self.peak * max(0.0, now - self.born) / (self.ready - self.born))
        return self.held


class SimulatedGpu:
    """Runs one trace, an interval at a time."""

    def __init__(self, trace: Trace, *, brake: bool = False) -> None:
        """`brake`: with the worker's own brake, which is off in a simulation of the planner."""
        self.trace = trace
        self._memory_guard = MemoryGuard(trace.reserve) if brake else None
        self._watch_at = WATCH_SECONDS if brake else _NEVER
        self.instances: list[SimulatedInstance] = []
        self.target = 1
        self.now = 0.0
        self.footprint = 0
        self.out_of_memory = 0
        self.braked = 0
        self.ready_seconds = 0.0
        # What instances took beyond what they held when warm, since this was last set to 0.
        self.ratcheted = 0
        self._boots = self._numbers = 0
        self._ceiling, self._raise_at = trace.maximum, _NEVER
        self._dice = random.Random(~trace.seed)
        self._curve: list[float] = trace.strangers.tolist()
        self._told: tuple[object, ...] = ()
        self._parts: dict[str, Any] = {}
        self._tend()

    # -- what the planner sees and does ------------------------------------------------------

    def state(self) -> State:
        """What the worker says now, with the noise of the trace on `free`."""
        trace, now = self.trace, self.now
        free = self._free()
        each = tuple(_told(one, now) for one in self.instances)
        told = (each, self.target, self._ceiling, self.footprint, self.out_of_memory, self._boots)
        if told != self._told:  # most of it is as it was: made once, shown often
            self._told = told
            kinds = [one.state for one in each]
            self._parts = {
                "instances": Instances(
                    target=self.target,
                    ready=kinds.count("idle"),
                    booting=kinds.count("booting"),
                    ceiling=self._ceiling,
                    each=each,
                ),
                "footprint": Footprint(bytes=self.footprint, source="paddle"),
                "counters": Counters(out_of_memory=self.out_of_memory, boots=self._boots),
                "ready": "idle" in kinds,
            }
        memory = Memory(total=trace.total, used=trace.total - free, free=free)
        device = Device(kind="gpu", name="simulated", uuid="GPU-0", memory=memory)
        return State(device=device, queue=_QUEUE, draining=False, **self._parts)

    def _free(self) -> int:
        trace = self.trace
        free = trace.total - self.ours() - self.strangers(self.now)
        return int(min(max(free + self._dice.gauss(0.0, trace.noise), 0), trace.total))

    def set_target(self, target: int) -> None:
        self.target = target
        self._tend()

    # -- how time goes by --------------------------------------------------------------------

    def ours(self) -> int:
        now = self.now
        return sum(one.holds(now) for one in self.instances)

    def strangers(self, now: float) -> float:
        place = now / self.trace.interval * FINE
        low = int(place)
        if low + 1 >= len(self._curve):
            return self._curve[-1]
        return self._curve[low] + (self._curve[low + 1] - self._curve[low]) * (place - low)

    def run_until(self, end: float) -> None:
        """Let time go by, event by event."""
        while True:
            nearest = min((self._next(one) for one in self.instances), default=_NEVER)
            nearest = min(nearest, self._raise_at, self._watch_at)
            until = min(nearest, end)
            self._pass(until)
            if nearest > end:
                return
            self._happen()

    def _next(self, one: SimulatedInstance) -> float:
        if self.now < one.ready:
            return min(one.ready, one.gone)
        return min(one.gone, one.meets, one.crash)

    def _pass(self, until: float) -> None:
        """Nothing happens but growth: check every fine point on the way."""
        begin, self.now = self.now, until
        length = until - begin
        if length > 0:
            ready = sum(begin >= one.ready and one.gone == _NEVER for one in self.instances)
            self.ready_seconds += ready * length
        width = self.trace.interval / FINE
        most = self.ours()  # between events what we hold only grows
        low, high = int(begin / width), min(int(until / width) + 1, len(self._curve) - 1)
        if most + max(self._curve[low : high + 1]) <= self.trace.total:
            return
        for point in range(low + 1, high):
            self.now = point * width
            if begin < self.now < until and self._short():
                self._run_out()
        self.now = until
        if self._short():
            self._run_out()

    def _short(self) -> bool:
        return self.ours() + self.strangers(self.now) > self.trace.total

    def _happen(self) -> None:
        now, alive = self.now, []
        if now >= self._watch_at:
            self._watch_at = now + WATCH_SECONDS
            self._look_at_device()
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
                self._look_ahead(one)
            if now >= one.meets:
                held, one.held = one.held, max(one.held, self.trace.peaks[one.level][1])
                self.ratcheted += one.held - held
                self._look_ahead(one)
            self.footprint = max(self.footprint, one.held)
        self.instances = alive
        if self._short():
            self._run_out()
        self._tend()

    def _look_ahead(self, one: SimulatedInstance) -> None:
        """When it will meet the next larger kind of page."""
        one.level += 1
        if one.level < len(self.trace.peaks):
            since = max(self.now, self.trace.peaks[one.level][0])
            one.meets = since + self._dice.expovariate(1 / self.trace.spread)
        else:
            one.meets = _NEVER

    def _look_at_device(self) -> None:
        """The worker's own look: where its brake says so, the newest goes, if it is not the only
        one, and the worker allows itself one fewer."""
        free = self._free()
        memory = Memory(total=self.trace.total, used=self.trace.total - free, free=free)
        if self._memory_guard is None or not self._memory_guard.should_shrink(memory):
            return
        here = [one for one in self.instances if one.gone == _NEVER]
        if len(here) < 2:
            return
        self.braked += 1
        newest = max(here, key=lambda one: one.number)
        # One that boots is killed, any other ends its page first.
        newest.gone = self.now + (self.trace.death if self.now >= newest.ready else 0.0)
        self._ceiling = min(self._ceiling, len(here) - 1)
        self._raise_at = self.now + CEILING_SECONDS

    def _run_out(self) -> None:
        """Out of memory: the newest instance dies, and the worker allows itself one fewer."""
        self.out_of_memory += 1
        if self.instances:
            newest = max(self.instances, key=lambda one: one.number)
            self.instances.remove(newest)
            self._ceiling = max(1, min(self._ceiling, len(self.instances)))
            self._raise_at = self.now + CEILING_SECONDS

    def _tend(self) -> None:
        now, trace = self.now, self.trace
        here = [one for one in self.instances if one.gone == _NEVER]
        wanted = min(self.target, self._ceiling)
        for one in sorted(here, key=lambda one: -one.number)[: max(0, len(here) - wanted)]:
            one.gone = now + trace.death
        if len(self.instances) < wanted and all(now >= one.ready for one in here):
            self._numbers += 1
            warm = int(trace.peaks[0][1] * self._dice.uniform(0.99, 1.01))
            one = SimulatedInstance(
                self._numbers, now, now + trace.boot * self._dice.uniform(0.8, 1.2), warm
            )
            if trace.crash:
                one.crash = one.ready + self._dice.expovariate(trace.crash)
            self.instances.append(one)


def _told(one: SimulatedInstance, now: float) -> Instance:
    """The instance as the worker tells of it: it hears of its memory when it is warm, and then
    with each page."""
    state: InstanceState = "idle"
    if one.gone < _NEVER:
        state = "retiring"
    elif now < one.ready:
        state = "booting"
    held = 0 if now < one.ready else one.held
    if one.told is None or one.told.state != state or one.told.memory != held:
        one.told = Instance(
            id=f"i{one.number}",
            pid=one.number,
            state=state,
            age_seconds=0,
            busy_seconds=0,
            requests=0,
            memory=held,
            peak=held,
        )
    return one.told
