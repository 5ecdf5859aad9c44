"""The instances of one worker: how many there are, and what becomes of each.

`tend` compares what is wanted with what is there and takes the next step; every event ends in a
call of it, so nothing depends on having seen them all. Instances boot one at a time.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Protocol

from ocrpool_wire import Counters, Footprint, InstanceState, Problem
from ocrpool_worker.errors import ModelError
from ocrpool_worker.ipc.frames import Frame
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor import rules
from ocrpool_worker.supervisor.launch import Launch, Launcher
from ocrpool_worker.supervisor.process import InstanceProcess
from ocrpool_worker.supervisor.work import Work

_log = logging.getLogger(__name__)
# How often broken model files are looked at again.
_RECHECK_SECONDS = 30.0


@dataclass(eq=False)
class Member:
    """One instance and what is known of it. Memory in bytes, times on the crew's clock."""

    ident: str
    process: InstanceProcess
    born: float
    state: InstanceState = "booting"
    work: Work | None = None
    work_began: float = 0.0
    answered: int = 0
    failed_in_a_row: int = 0
    memory: int = 0
    peak: int = 0
    memory_when_warm: int = 0
    recycle: str | None = None
    failure: Problem | None = None
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def here(self) -> bool:
        """Whether it counts towards what is wanted."""
        return self.state != "retiring"

    @property
    def ready(self) -> bool:
        return self.state in ("idle", "busy")

    def note_memory(self, head: dict[str, object]) -> tuple[int, str]:
        """Take over what it said of its memory; returns its peak and where the figure is from."""
        device, rss, peak = head.get("device"), head.get("rss"), head.get("rssPeak")
        if isinstance(device, int):
            self.memory, self.peak = device, max(self.peak, device)
            return self.peak, "paddle"
        self.memory = rss if isinstance(rss, int) else 0
        self.peak = max(self.peak, self.memory, peak if isinstance(peak, int) else 0)
        return self.peak, "rss"


class Dispatcher(Protocol):
    """What the crew tells the pool."""

    def on_free(self) -> None:
        """A member is idle, or the crew has changed: there may be something to hand out."""

    def on_answer(self, member: Member, work: Work, frame: Frame) -> None:
        """A member finished its work, well or badly; it is idle or retiring already."""

    def on_lost(self, member: Member, work: Work, why: str) -> None:
        """A member died over its work."""


class Crew:
    """All members, and the one loop that keeps their number."""

    def __init__(
        self,
        settings: WorkerSettings,
        launcher: Launcher,
        dispatcher: Dispatcher,
        counters: dict[str, float],
        *,
        target: int,
        clock: Callable[[], float],
        room_for_one_more: Callable[[int], bool],
    ) -> None:
        self._settings = settings
        self._launcher = launcher
        self._dispatcher = dispatcher
        self._counters = counters
        self._clock = clock
        self._room_for_one_more = room_for_one_more
        self._names = itertools.count(1)
        self.members: dict[str, Member] = {}
        self.target = target
        self.ceiling = settings.instances.max
        self.footprint = Footprint(bytes=0, source="none")
        self.problem: Problem | None = None
        self.was_ready = False
        self._boot_failures = 0
        self._fruitless = 0
        self._next_boot = 0.0
        self._lowered = 0.0
        self._surge = False
        self._starting = False
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def wanted(self) -> int:
        return min(self.target, self.ceiling)

    @property
    def ready(self) -> int:
        return sum(member.ready for member in self.members.values())

    @property
    def booting(self) -> int:
        return sum(member.state == "booting" for member in self.members.values()) or int(
            self._starting
        )

    def idle(self) -> list[Member]:
        """Idle members, the one that has rested longest first."""
        rested = (member for member in self.members.values() if member.state == "idle")
        return sorted(rested, key=lambda member: member.work_began)

    def alone(self, member: Member) -> bool:
        """Whether no other instance is there or will come."""
        others = any(other.here for other in self.members.values() if other is not member)
        return not others and (self.wanted <= 1 or self.problem is not None)

    def set_target(self, target: int) -> None:
        """Ask for another number of instances; also starts over after failed boots."""
        self.target = target
        self.forget_failures()
        self.tend()

    def forget_failures(self) -> None:
        self.problem = None
        self._boot_failures = 0
        self._next_boot = 0.0

    def lower_ceiling(self) -> None:
        """Memory ran out: one fewer from now on, for a while."""
        here = sum(member.here for member in self.members.values())
        self.ceiling = max(1, min(self.ceiling, here) - 1)
        self._lowered = self._clock()
        _log.warning("out of memory: ceiling lowered", extra={"ceiling": self.ceiling})

    def hand(self, member: Member, work: Work) -> None:
        """Mark a member busy with `work`."""
        member.work, member.work_began, member.state = work, self._clock(), "busy"

    def retire(self, member: Member, why: str) -> None:
        """Let it finish what it is on, and end."""
        if member.state == "retiring":
            return
        _log.info("instance retires", extra={"instance": member.ident, "why": why})
        booting = member.state == "booting"
        member.state = "retiring"
        if booting:  # it listens to nobody yet, and holds nothing of a client's
            member.process.kill(why)
        else:
            member.process.hang_up()

    def tend(self) -> None:
        """Take the next step from what is there towards what is wanted."""
        if self._closing:
            return
        now = self._clock()
        self._raise_ceiling(now)
        self._dismiss_surplus()
        self._replace_one()
        room = self.wanted + int(self._surge) - len(self.members)
        if room > 0 and not self.booting and self.problem is None:
            if now >= self._next_boot:
                self._starting = True
                self._spawn(self._boot())
            else:
                self._wake_in(self._next_boot - now)
        self._dispatcher.on_free()

    async def close(self) -> None:
        """End all members, at once where they are at work."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        members = tuple(self.members.values())
        for member in members:
            if member.work is not None:
                member.state = "retiring"
                member.process.kill("the worker stops")
            else:
                self.retire(member, "the worker stops")
        gone = [asyncio.ensure_future(member.process.wait()) for member in members]
        if gone:
            _, late = await asyncio.wait(gone, timeout=2)
            for member in members:
                member.process.kill("it did not end when asked to")
            if late:
                await asyncio.wait(late)

    def _raise_ceiling(self, now: float) -> None:
        while self.ceiling < self._settings.instances.max:
            left = self._lowered + rules.CEILING_COOLDOWN - now
            if left > 0:
                self._wake_in(left)
                return
            self.ceiling += 1
            self._lowered = now

    def _dismiss_surplus(self) -> None:
        here = [member for member in self.members.values() if member.here]
        surplus = len(here) - self.wanted - int(self._surge)
        if self._surge and sum(member.ready for member in here) > self.wanted:
            surplus = len(here) - self.wanted  # the replacement is ready: the old one may go
            self._surge = False
        # First those that are to be replaced anyway, then what serves nobody, then the newest.
        order = {"booting": 0, "idle": 1, "busy": 2, "retiring": 3}
        here.sort(key=lambda member: (member.recycle is None, order[member.state], -member.born))
        for member in here[: max(0, surplus)]:
            self.retire(member, member.recycle or f"{self.wanted} instances are wanted")

    def _replace_one(self) -> None:
        """Start replacing one worn-out member, if nothing else is going on."""
        worn = next((m for m in self.members.values() if m.recycle and m.ready), None)
        busy = self._surge or self.booting or any(not m.here for m in self.members.values())
        if worn is None or busy or self.problem is not None:
            return
        self._counters["recycled"] += 1
        if self.ready > 1 or not self._room_for_one_more(worn.peak):
            self.retire(worn, worn.recycle or "")
        else:  # the only one: its replacement is warm before it goes
            self._surge = True

    async def _boot(self) -> None:
        member: Member | None = None
        try:
            launch = await self._launcher.prepare()
            if not self._closing and self.wanted + int(self._surge) > len(self.members):
                member = await self._start(launch)
        except ModelError as error:
            self._boot_failed(Problem(reason=error.reason, message=str(error)), final=False)
        except OSError as error:
            message = f"no process could be started: {error}"
            self._boot_failed(Problem(reason="BootFailed", message=message), final=False)
        finally:
            self._starting = False
        if member is None:
            self.tend()

    async def _start(self, launch: Launch) -> Member:
        ident = f"i{next(self._names)}"

        def on_frame(frame: Frame) -> None:
            self._on_frame(member, frame)

        def on_gone(why: str) -> None:
            self._on_gone(member, why)

        process = InstanceProcess(
            ident, environment=launch.environment, on_frame=on_frame, on_gone=on_gone
        )
        member = Member(ident, process, self._clock())
        await process.start()
        self.members[ident] = member
        process.send(launch.order)
        limit = self._settings.instances.boot_seconds
        member.timers.append(asyncio.get_running_loop().call_later(limit, self._late, member))
        _log.info("instance boots", extra={"instance": ident, "pid": process.pid})
        return member

    def _late(self, member: Member) -> None:
        if member.state == "booting":
            limit = self._settings.instances.boot_seconds
            message = f"not ready after {limit:g} s (instances.bootSeconds)"
            member.failure = Problem(reason="BootTimeout", message=message)
            member.process.kill(message)

    def _on_frame(self, member: Member, frame: Frame) -> None:
        head = dict(frame.head)
        if head.get("op") == "failed":
            reason = "InsufficientMemory" if head.get("fault") == "memory" else "BootFailed"
            member.failure = Problem(reason=reason, message=str(head.get("message")))
            return
        self._note(member, head)
        if head.get("op") == "ready":
            self._on_ready(member, head)
            return
        work, member.work = member.work, None
        if work is None:
            member.process.kill("it answered what it was not asked")
            return
        if member.state == "busy":
            member.state = "idle"
        self._cancel_timers(member)
        began, member.work_began = member.work_began, self._clock()
        if head.get("op") in ("done", "inspected", "refused"):
            member.failed_in_a_row = 0
            self._fruitless = 0
        if head.get("op") == "done":
            member.answered += 1
            self._counters["pages"] += 1
            self._counters["page_seconds"] += member.work_began - began
        self._consider_recycling(member)
        self._dispatcher.on_answer(member, work, frame)
        self.tend()

    def _on_ready(self, member: Member, head: dict[str, object]) -> None:
        self._cancel_timers(member)
        self._counters["boots"] += 1
        self._boot_failures = 0
        self.was_ready = True
        member.memory_when_warm = member.memory
        member.work_began = self._clock()
        if member.state == "booting":
            member.state = "idle"
        _log.info(
            "instance ready",
            extra={
                "instance": member.ident,
                "buildSeconds": head.get("buildSeconds"),
                "warmSeconds": head.get("warmSeconds"),
                "memory": member.memory,
            },
        )
        self.tend()

    def _on_gone(self, member: Member, why: str) -> None:
        self._cancel_timers(member)
        self.members.pop(member.ident, None)
        work, member.work = member.work, None
        words = member.process.last_words
        extra = {"instance": member.ident, "why": why, "lastWords": words}
        if member.state == "booting":
            message = f"the instance {why} while it booted" + (f": {words[-500:]}" if words else "")
            problem = member.failure or Problem(reason="BootFailed", message=message)
            final = problem is member.failure and problem.reason == "BootFailed"
            self._boot_failed(problem, final=final and not self.was_ready)
        elif member.state == "retiring" and work is None:
            _log.info("instance gone", extra=extra)
        else:
            _log.warning("instance died", extra=extra)
            self._counters["deaths"] += 1
            if member.answered == 0:
                self._fruitless += 1
                self._next_boot = self._clock() + rules.backoff(self._fruitless)
        if not any(other.recycle for other in self.members.values()):
            self._surge = False  # whom it was for has gone
        if work is not None:
            self._dispatcher.on_lost(member, work, why)
        self.tend()

    def _boot_failed(self, problem: Problem, *, final: bool) -> None:
        self._counters["boot_failures"] += 1
        self._boot_failures += 1
        _log.error(
            "instance failed to boot", extra={"reason": problem.reason, "why": str(problem.message)}
        )
        if problem.reason == "InsufficientMemory" and self.ready:
            # What is there fits; one more does not.
            self.ceiling, self._lowered = max(1, self.ready), self._clock()
            self._boot_failures = 0
            return
        if final or self._boot_failures >= rules.BOOT_ATTEMPTS:
            self.problem = problem
            if problem.reason.startswith("Model"):
                self._wake_in(_RECHECK_SECONDS, self._recheck_models)
            return
        self._next_boot = self._clock() + rules.backoff(self._boot_failures)

    def _recheck_models(self) -> None:
        async def recheck() -> None:
            try:
                await self._launcher.prepare()
            except ModelError:
                self._wake_in(_RECHECK_SECONDS, self._recheck_models)
            else:
                self.forget_failures()
                self.tend()

        if self.problem is not None and not self._closing:
            self._spawn(recheck())

    def _note(self, member: Member, head: dict[str, object]) -> None:
        peak, source = member.note_memory(head)
        if peak > self.footprint.bytes:  # it only ratchets up
            self.footprint = Footprint(bytes=peak, source=source)

    def _consider_recycling(self, member: Member) -> None:
        cap = self._settings.memory.per_instance
        member.recycle = member.recycle or rules.should_recycle(
            answered=member.answered,
            memory=member.memory,
            memory_when_warm=member.memory_when_warm,
            after_requests=self._settings.recycle.after_requests,
            growth=self._settings.recycle.memory_growth,
            cap=cap if isinstance(cap, int) else None,
        )

    def _cancel_timers(self, member: Member) -> None:
        for timer in member.timers:
            timer.cancel()
        member.timers.clear()

    def _wake_in(self, seconds: float, then: Callable[[], None] | None = None) -> None:
        loop = asyncio.get_running_loop()
        if then is not None:
            loop.call_later(seconds, then)
            return
        when = loop.time() + seconds
        if self._timer is not None and not self._timer.cancelled():
            if loop.time() < self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds + 0.01, self.tend)

    def _spawn(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def new_counters() -> dict[str, float]:
    """All counters of the wire at zero."""
    return dict.fromkeys(Counters.model_fields, 0)
