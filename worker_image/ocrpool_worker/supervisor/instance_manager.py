"""The instances of one worker: how many there are, and what becomes of each.

`tend` compares what is wanted with what is there and takes the next step; every event ends in a
call of it, so nothing depends on having seen them all. Instances boot one at a time.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Protocol

from ocrpool.protocol import Counters, Footprint, Problem
from ocrpool_worker.devices.oom import OomKills
from ocrpool_worker.devices.snapshot import Look
from ocrpool_worker.devices.watch import DeviceWatch
from ocrpool_worker.errors import ModelError
from ocrpool_worker.ipc import message_checks
from ocrpool_worker.ipc.answer_budget import AnswerRoom
from ocrpool_worker.ipc.frames import Frame
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor import failure_rules
from ocrpool_worker.supervisor.deadline import Deadline
from ocrpool_worker.supervisor.exit_reason import Death
from ocrpool_worker.supervisor.fair_queue import Work
from ocrpool_worker.supervisor.launch import Launcher
from ocrpool_worker.supervisor.managed_instance import Member
from ocrpool_worker.supervisor.managed_instances import Members
from ocrpool_worker.supervisor.scheduling import Later
from ocrpool_worker.supervisor.startup import DeviceGone, NoRoomEver, Nursery
from ocrpool_worker.supervisor.startup_backoff import BootPolicy, Ceiling, Clock

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

    def on_progress(self, work: Work) -> None:
        """A member says that its work comes on."""

    def on_answer(self, member: Member, work: Work, frame: Frame) -> None:
        """A member finished its work, well or badly; it is idle or retiring already."""

    def on_lost(self, member: Member, work: Work, death: Death) -> None:
        """A member died over its work."""


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
        awake: Clock,
        watch: DeviceWatch,
    ) -> None:
        """`awake`: a clock that stands while this process does not run (AwakeClock)."""
        self._settings = settings
        self._launcher = launcher
        self._dispatcher = dispatcher
        self._counters = counters
        self._clock = clock
        self._awake = awake
        self._nursery = Nursery(
            settings,
            launcher,
            watch,
            clock=clock,
            awake=awake,
            on_frame=self._on_frame,
            on_gone=self._on_gone,
        )
        self.members = Members()
        self.target = target
        self.ceiling = Ceiling(settings.instances.max, clock)
        self.boots = BootPolicy(clock)
        self._oom_kills = OomKills(clock())
        # How the last one ended that was not asked to.
        self.last_death: Death | None = None
        self._refused = False
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
    def slow(self) -> Problem | None:
        """Why pages of the largest size will not be answered in time, if so."""
        return self._nursery.slow

    @property
    def ready(self) -> int:
        """Instances that read what they are given."""
        return self.members.ready

    @property
    def booting(self) -> int:
        return self.members.booting or int(self._preparing)

    def alone(self, member: Member) -> bool:
        """Whether no other instance that reads is there or will come."""
        none_comes = self.wanted <= len(self.members.here) or self.boots.problem is not None
        return none_comes and not self.members.has_other(member)

    def set_target(self, target: int) -> None:
        """Ask for another number of instances; also starts over after failed boots."""
        self.target = target
        self.boots.forget()
        self.tend()

    def see(self, look: Look) -> None:
        """A look at the device, and at those who are on it."""
        self._oom_kills.look(self._clock())
        for member in self.members.values():
            self._nursery.see(member, look)
        self._end_stopped()
        given_up = self.boots.problem is not None and self.boots.problem.reason == "DeviceError"
        if given_up and self._refused and not look.refused:
            self.boots.forget()  # the driver answers again
        self._refused = look.refused
        self.tend()

    def note_stops(self) -> None:
        """Find out who stands by SIGSTOP, or under a debugger, and who goes on."""
        self.members.note_stops(self._awake())

    def _end_stopped(self) -> None:
        """Replace who has nothing to do and stands for as long as a page may take; on a page that
        has a limit of its own."""
        self.note_stops()
        if self.boots.problem is not None:
            return  # nobody would come in its place, and it may go on
        limit = self._settings.admission.timeout_seconds
        for member in self.members.here:
            since = member.stopped_since
            if member.state == "idle" and since is not None and self._awake() - since >= limit:
                why = f"it was stopped (SIGSTOP) for {limit:g} s (admission.timeoutSeconds)"
                self.discard(member, why)

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
        here = self.members.here
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
        member.told = 0

    def retire(self, member: Member, why: str) -> None:
        """Let it finish what it is on, and end."""
        if not member.here:
            return
        _log.info("instance retires", extra={"instance": member.ident, "why": why})
        member.asked_for = why
        booting = member.state == "booting"
        member.state = "retiring"
        if booting:  # it listens to nobody yet, and holds nothing of a client's
            member.process.kill(why)
        else:
            member.process.hang_up()
            self._expect_leave(member)

    def discard(self, member: Member, why: str) -> None:
        """End it now: it hangs, or its device context cannot be trusted any more."""
        if member.here and not member.process.ended:  # else its end is counted when it is told
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
        if self._surge and self.members.warm > self.wanted:
            self._surge = 0  # the replacement is warm: the old one may go
        for member in self.members.surplus(self.wanted + self._surge):
            self.retire(member, member.recycle or f"{self.wanted} instances are wanted")

    def _replace_one(self) -> None:
        """Start replacing one worn-out member, if nothing else is going on."""
        worn = next((m for m in self.members.values() if m.recycle and m.warm), None)
        short = len(self.members) < self.wanted or any(not m.here for m in self.members.values())
        busy = self._surge or self.booting or short
        if worn is None or busy or self.boots.problem is not None:
            return
        self._counters["recycled"] += 1
        if self.ready > 1 or not self._nursery.has_room_for(worn.peak):
            self.retire(worn, worn.recycle or "")
        else:  # the only one: its replacement is warm before it goes
            extra = {"instance": worn.ident, "why": worn.recycle}
            _log.info("instance is being replaced", extra=extra)
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
            self._boot_failed(Problem(reason="BootFailed", message=message), hindered=True)
        except DeviceGone:
            self.boots.postpone(_LOST_SECONDS)  # the report says why
        except NoRoomEver as error:
            self._boot_failed(Problem(reason="InsufficientMemory", message=str(error)), final=True)
        finally:
            self._preparing = False
            self.tend()

    def _on_frame(self, member: Member, frame: Frame) -> None:
        message_checks.check(frame.head, asked=member.asked, number=member.given)
        op = frame.head.get("op")
        if op == "failed":
            self._nursery.note_failure(member, frame)
            return
        if op == "ready":
            self._later.spawn(self._warm(member, frame))
            return
        work = member.work
        assert work is not None  # or it was not asked
        if op == "progress":
            member.told += 1
            interval = self._settings.admission.progress_seconds
            message_checks.check_progress(
                frame, member.told, self._clock() - member.since, interval
            )
            self._dispatcher.on_progress(work)
            return
        member.work = None
        self._nursery.note(member, frame)
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
        names = ("buildSeconds", "warmSeconds", "pageSeconds")
        seconds = {name: frame.head.get(name) for name in names}
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
        member.recycle = member.recycle or failure_rules.should_recycle(
            answered=member.answered,
            memory=member.memory,
            memory_when_warm=member.memory_when_warm,
            after_requests=self._settings.recycle.after_requests,
            growth=self._settings.recycle.memory_growth,
            cap=cap if isinstance(cap, int) else None,
        )
        self._dispatcher.on_answer(member, work, frame)
        self.tend()

    def _on_gone(self, member: Member, status: int) -> None:
        member.cancel_timers()
        self.members.pop(member.ident, None)
        work, member.work = member.work, None
        death = self._death_of(member, status)
        extra = {"instance": member.ident, "cause": death.cause, "why": death.why}
        if member.state == "booting":
            self._boot_failed(self._nursery.blame(death.boot_problem), death)
        elif not member.here and (death.cause == "asked" or member.process.killed_for is not None):
            _log.info("instance gone", extra=extra)
        else:
            _log.warning("instance died", extra=extra | {"lastWords": death.words})
            self._counters["killed"] += death.cause == "outside"
            self._counters["deaths"] += 1
            if member.answered == 0:
                self.boots.died_fruitless()
        if death.cause != "asked":
            self.last_death = death
        if not any(other.recycle for other in self.members.values()):
            self._surge = 0  # whom it was for has gone
        if work is not None:
            # Else the seconds that it was seen at work for would be gone from the sum with it.
            self._counters["page_seconds"] += self._clock() - member.since
            self._dispatcher.on_lost(member, work, death)
        elif death.cause == "memory" and member.state != "booting":
            self.out_of_memory(member)
        self.tend()

    def _death_of(self, member: Member, status: int) -> Death:
        process = member.process
        sigkill = status == -signal.SIGKILL and process.killed_for is None
        return Death.of(
            status,
            killed_for=process.killed_for,
            asked_for=member.asked_for,
            starved=sigkill and member.failure is None and self._oom_kills.claim(),
            words=process.last_words,
            own=member.failure,
        )

    def _boot_failed(
        self,
        problem: Problem,
        death: Death | None = None,
        *,
        final: bool = False,
        hindered: bool = False,
    ) -> None:
        """A boot came to nothing: before there was a process, or by its `death`. `hindered`: the
        system had no room for a process."""
        self._counters["boot_failures"] += 1
        extra = {"reason": problem.reason, "why": problem.message}
        _log.error("instance failed to boot", extra=extra)
        if problem.reason == "InsufficientMemory" and self.members.warm:
            self.ceiling.lower(self.members.warm)  # what is there fits; one more does not
            return
        if death is not None and death.cause == "outside":
            self._counters["killed"] += 1
            self.boots.hindered(problem)
        elif hindered:
            self.boots.hindered(problem)
        else:
            told = death is not None and death.own is not None
            self.boots.failed(problem, final=final or (told and problem.reason == "BootFailed"))
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
            why = f"it did not end within {_LEAVE_SECONDS:g} s ({member.asked_for})"
            late = Deadline(_LEAVE_SECONDS, self._awake, lambda: member.process.kill(why))
            member.timers.append(late)


def new_counters() -> dict[str, float]:
    """All counters of the wire at zero."""
    return dict.fromkeys(Counters.model_fields, 0)
