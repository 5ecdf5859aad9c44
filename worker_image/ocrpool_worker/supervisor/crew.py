"""The instances of one worker: how many there are, and what becomes of each.

`tend` compares what is wanted with what is there and takes the next step; every event ends in a
call of it, so nothing depends on having seen them all. Instances boot one at a time.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from ocrpool_wire import Counters, Footprint, Problem
from ocrpool_worker.devices.look import Look
from ocrpool_worker.devices.oom import OomKills
from ocrpool_worker.devices.watch import DeviceWatch
from ocrpool_worker.errors import ModelError
from ocrpool_worker.ipc.frames import Frame
from ocrpool_worker.ipc.room import AnswerRoom
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor import rules
from ocrpool_worker.supervisor.boots import BootPolicy, Ceiling, Clock
from ocrpool_worker.supervisor.deaths import Death
from ocrpool_worker.supervisor.later import Later
from ocrpool_worker.supervisor.launch import Launcher
from ocrpool_worker.supervisor.member import Member
from ocrpool_worker.supervisor.nursery import DeviceGone, NoRoomEver, Nursery
from ocrpool_worker.supervisor.work import Work

_log = logging.getLogger(__name__)
# How often broken model files are looked at again.
_RECHECK_SECONDS = 30.0
# How often a lost device is looked at again before a boot.
_LOST_SECONDS = 5.0
# How long an instance without work may take to end after it was asked to.
_LEAVE_SECONDS = 5.0


class Dispatcher(Protocol):
    """What the crew tells the pool."""

    def on_free(self) -> None:
        """The crew has changed: there may be something to hand out."""

    def on_answer(self, member: Member, work: Work, frame: Frame) -> None:
        """A member finished its work, well or badly; it is idle or retiring already."""

    def on_lost(self, member: Member, work: Work, why: str, *, starved: bool) -> None:
        """A member died over its work; `starved`: because memory ran out."""


class Crew:
    """All members, and the one function that keeps their number."""

    def __init__(
        self,
        settings: WorkerSettings,
        launcher: Launcher,
        dispatcher: Dispatcher,
        counters: dict[str, float],
        *,
        target: int,
        clock: Clock,
        watch: DeviceWatch,
    ) -> None:
        self._settings = settings
        self._launcher = launcher
        self._dispatcher = dispatcher
        self._counters = counters
        self._clock = clock
        self._nursery = Nursery(
            settings,
            launcher,
            watch,
            clock=clock,
            on_frame=self._on_frame,
            on_gone=self._on_gone,
        )
        self.members: dict[str, Member] = {}
        self.target = target
        self.ceiling = Ceiling(settings.instances.max, clock)
        self.boots = BootPolicy(clock)
        self._oom_kills = OomKills(clock())
        # One more than wanted while the only instance is replaced.
        self._surge = 0
        self._preparing = False
        self._closing = False
        self._later = Later(self.tend)

    @property
    def wanted(self) -> int:
        return min(self.target, self.ceiling.value)

    @property
    def footprint(self) -> Footprint:
        return self._nursery.footprints.current

    @property
    def answers(self) -> AnswerRoom:
        """Where the members' answers are held."""
        return self._nursery.answers

    @property
    def ready(self) -> int:
        return sum(member.ready for member in self.members.values())

    @property
    def booting(self) -> int:
        return sum(member.state == "booting" for member in self.members.values()) or int(
            self._preparing
        )

    def idle(self) -> list[Member]:
        """Idle members, the one that has rested longest first."""
        resting = [
            member
            for member in self.members.values()
            if member.state == "idle" and member.process.listens
        ]
        return sorted(resting, key=lambda member: member.since)

    def alone(self, member: Member) -> bool:
        """Whether no other instance is there or will come."""
        others = any(other.here for other in self.members.values() if other is not member)
        return not others and (self.wanted <= 1 or self.boots.problem is not None)

    def set_target(self, target: int) -> None:
        """Ask for another number of instances; also starts over after failed boots."""
        self.target = target
        self.boots.forget()
        self.tend()

    def see(self, look: Look) -> None:
        """A look at the device."""
        self._oom_kills.look(self._clock())
        for member in self.members.values():
            self._nursery.see(member, look)

    def out_of_memory(self, member: Member) -> None:
        """Memory ran out for a member: one fewer from now on, for a while."""
        self._counters["out_of_memory"] += 1
        self.ceiling.lower(
            sum(other.here for other in self.members.values() if other is not member)
        )
        _log.warning("out of memory", extra={"ceiling": self.ceiling.value})

    def brake(self) -> None:
        """Memory is critically low: give up the newest instance, unless it is the only one, or one
        is leaving already."""
        here = [member for member in self.members.values() if member.here]
        if len(here) < 2 or len(here) < len(self.members):
            return  # what one that is leaving gives back has not been seen yet
        self._counters["braked"] += 1
        self.ceiling.lower(len(here) - 1)
        newest = max(here, key=lambda member: member.born)
        self.retire(newest, "the device's memory is critically low")
        self.tend()

    def hand(self, member: Member, work: Work) -> None:
        """Mark a member busy with `work`."""
        member.work, member.since, member.state = work, self._clock(), "busy"

    def retire(self, member: Member, why: str) -> None:
        """Let it finish what it is on, and end."""
        if not member.here:
            return
        _log.info("instance retires", extra={"instance": member.ident, "why": why})
        booting = member.state == "booting"
        member.state = "retiring"
        if booting:  # it listens to nobody yet, and holds nothing of a client's
            member.process.kill(why)
        else:
            member.process.hang_up()
            self._expect_leave(member)

    def discard(self, member: Member, why: str) -> None:
        """End it now: it hangs, or its device context cannot be trusted any more."""
        if member.here:
            self._counters["deaths"] += 1
        member.state = "retiring"
        member.process.kill(why)

    def tend(self) -> None:
        """Take the next step from what is there towards what is wanted."""
        if self._closing:
            return
        until_raise = self.ceiling.wait()
        if until_raise is not None:
            self._later.wake_in(until_raise)
        self._dismiss_surplus()
        self._replace_one()
        room = self.wanted + self._surge - len(self.members)
        if room > 0 and not self.booting and self.boots.problem is None:
            wait = self.boots.wait()
            if wait > 0:
                self._later.wake_in(wait)
            else:
                self._preparing = True
                self._later.spawn(self._boot())
        self._dispatcher.on_free()

    async def close(self) -> None:
        """End all members, at once where they are at work."""
        self._closing = True
        await self._later.close()
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

    def _dismiss_surplus(self) -> None:
        here = [member for member in self.members.values() if member.here]
        if self._surge and self.ready > self.wanted:
            self._surge = 0  # the replacement is warm: the old one may go
        surplus = len(here) - self.wanted - self._surge
        if surplus <= 0:  # nearly always, and this is looked at after every page
            return
        # First those that are to be replaced anyway, then what serves nobody, then the newest.
        order = {"booting": 0, "idle": 1, "busy": 2}
        here.sort(key=lambda member: (member.recycle is None, order[member.state], -member.born))
        for member in here[:surplus]:
            self.retire(member, member.recycle or f"{self.wanted} instances are wanted")

    def _replace_one(self) -> None:
        """Start replacing one worn-out member, if nothing else is going on."""
        worn = next((m for m in self.members.values() if m.recycle and m.ready), None)
        short = len(self.members) < self.wanted or any(not m.here for m in self.members.values())
        busy = self._surge or self.booting or short
        if worn is None or busy or self.boots.problem is not None:
            return
        self._counters["recycled"] += 1
        if self.ready > 1 or not self._nursery.has_room_for(worn.peak):
            self.retire(worn, worn.recycle or "")
        else:  # the only one: its replacement is warm before it goes
            self._surge = 1

    async def _boot(self) -> None:
        member: Member | None = None
        try:
            member = await self._nursery.prepare(alone=not self.members, instances=self.wanted)
            if self._closing or self.wanted + self._surge <= len(self.members):
                return
            await self._nursery.start(member)
            self.members[member.ident] = member
        except ModelError as error:
            self._boot_failed(Problem(reason=error.reason, message=str(error)))
        except OSError as error:
            message = f"no process could be started: {error}"
            self._boot_failed(Problem(reason="BootFailed", message=message))
        except DeviceGone:
            self.boots.postpone(_LOST_SECONDS)  # the report says why
        except NoRoomEver as error:
            self._boot_failed(Problem(reason="InsufficientMemory", message=str(error)), final=True)
        finally:
            self._preparing = False
            self.tend()

    def _on_frame(self, member: Member, frame: Frame) -> None:
        op = frame.head.get("op")
        if op == "failed":
            reason = "InsufficientMemory" if frame.head.get("fault") == "memory" else "BootFailed"
            member.failure = Problem(reason=reason, message=str(frame.head.get("message")))
            return
        if op == "ready":
            self._later.spawn(self._warm(member, frame))
            return
        self._nursery.note(member, frame)
        work, member.work = member.work, None
        if work is None:
            member.process.kill("it answered what it was not asked")
        else:
            self._on_answer(member, work, frame)

    async def _warm(self, member: Member, frame: Frame) -> None:
        if not await self._nursery.measure(member, frame):
            return
        if member.state == "booting" and member.ident in self.members:
            self._on_ready(member, frame)

    def _on_ready(self, member: Member, frame: Frame) -> None:
        member.cancel_timers()
        self._counters["boots"] += 1
        self.boots.ready()
        member.since, member.state = self._clock(), "idle"
        seconds = {name: frame.head.get(name) for name in ("buildSeconds", "warmSeconds")}
        extra = {"instance": member.ident, "memory": member.memory, **seconds}
        _log.info("instance ready", extra=extra)
        self.tend()

    def _on_answer(self, member: Member, work: Work, frame: Frame) -> None:
        member.cancel_timers()
        began, member.since = member.since, self._clock()
        if member.state == "busy":
            member.state = "idle"
        else:
            self._expect_leave(member)
        op = frame.head.get("op")
        if op != "fault":
            member.failed_in_a_row = 0
            self.boots.useful()
        if op == "done":
            member.answered += 1
            self._counters["pages"] += 1
            self._counters["page_seconds"] += member.since - began
        cap = self._settings.memory.per_instance
        member.recycle = member.recycle or rules.should_recycle(
            answered=member.answered,
            memory=member.memory,
            memory_when_warm=member.memory_when_warm,
            after_requests=self._settings.recycle.after_requests,
            growth=self._settings.recycle.memory_growth,
            cap=cap if isinstance(cap, int) else None,
        )
        self._dispatcher.on_answer(member, work, frame)
        self.tend()

    def _on_gone(self, member: Member, why: str) -> None:
        member.cancel_timers()
        self.members.pop(member.ident, None)
        work, member.work = member.work, None
        starved = member.here and member.failure is None and self._oom_kills.claim()
        words, own = member.process.last_words, member.failure
        death = Death.of(why, starved=starved, words=words, own=own)
        if member.state == "booting":
            self._boot_failed(death.boot_problem, final=death.final)
        elif not member.here:
            _log.info("instance gone", extra={"instance": member.ident, "why": why})
        else:
            extra = {"instance": member.ident, "why": death.why, "lastWords": words}
            _log.warning("instance died", extra=extra)
            self._counters["deaths"] += 1
            if member.answered == 0:
                self.boots.died_fruitless()
        if not any(other.recycle for other in self.members.values()):
            self._surge = 0  # whom it was for has gone
        if work is not None:
            self._dispatcher.on_lost(member, work, death.why, starved=starved)
        elif starved and member.state != "booting":
            self.out_of_memory(member)
        self.tend()

    def _boot_failed(self, problem: Problem, *, final: bool = False) -> None:
        self._counters["boot_failures"] += 1
        extra = {"reason": problem.reason, "why": problem.message}
        _log.error("instance failed to boot", extra=extra)
        if problem.reason == "InsufficientMemory" and self.ready:
            self.ceiling.lower(self.ready)  # what is there fits; one more does not
            return
        self.boots.failed(problem, final=final)
        if self.boots.problem is not None and problem.reason.startswith("Model"):
            self._recheck_later()

    def _recheck_later(self) -> None:
        """Look at broken model files again: who puts them right need not know about us."""

        async def recheck() -> None:
            try:
                await self._launcher.prepare()
            except ModelError:
                self._recheck_later()
            else:
                self.boots.forget()
                self.tend()

        def begin() -> None:
            if self.boots.problem is not None and not self._closing:
                self._later.spawn(recheck())

        asyncio.get_running_loop().call_later(_RECHECK_SECONDS, begin)

    def _expect_leave(self, member: Member) -> None:
        """A retiring member that has no work should be gone soon."""
        if member.work is None:
            why = f"it did not end within {_LEAVE_SECONDS:g} s"
            loop = asyncio.get_running_loop()
            member.timers.append(loop.call_later(_LEAVE_SECONDS, member.process.kill, why))


def new_counters() -> dict[str, float]:
    """All counters of the wire at zero."""
    return dict.fromkeys(Counters.model_fields, 0)
