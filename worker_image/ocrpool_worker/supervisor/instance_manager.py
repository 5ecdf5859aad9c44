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
from ocrpool_worker.devices.snapshot import DeviceSnapshot
from ocrpool_worker.devices.watch import DeviceWatch
from ocrpool_worker.errors import ModelError
from ocrpool_worker.ipc import message_checks
from ocrpool_worker.ipc.answer_budget import AnswerBudget
from ocrpool_worker.ipc.frames import Frame
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor import failure_rules
from ocrpool_worker.supervisor.deadline import Deadline
from ocrpool_worker.supervisor.exit_reason import ExitReason
from ocrpool_worker.supervisor.instance_set import InstanceSet
from ocrpool_worker.supervisor.launch import Launcher
from ocrpool_worker.supervisor.managed_instance import ManagedInstance
from ocrpool_worker.supervisor.requests import WorkItem
from ocrpool_worker.supervisor.scheduling import Scheduler
from ocrpool_worker.supervisor.startup import (
    DeviceUnavailable,
    InstanceStarter,
    ReserveExceedsDevice,
)
from ocrpool_worker.supervisor.startup_backoff import Clock, InstanceCeiling, StartupBackoff

_log = logging.getLogger(__name__)
# How often broken model files are looked at again.
_RECHECK_SECONDS = 30.0
# How often a lost device is looked at again before a boot.
_LOST_SECONDS = 5.0
# How long an instance without work may take to end after it was asked to.
_LEAVE_SECONDS = 5.0


class InstanceEvents(Protocol):
    """What the manager tells the pool."""

    def on_free(self) -> None:
        """The manager has changed: there may be something to hand out."""

    def on_progress(self, work: WorkItem) -> None:
        """A instance says that its work comes on."""

    def on_answer(self, instance: ManagedInstance, work: WorkItem, frame: Frame) -> None:
        """A instance finished its work, well or badly; it is idle or retiring already."""

    def on_lost(self, instance: ManagedInstance, work: WorkItem, exit_reason: ExitReason) -> None:
        """A instance died over its work."""


class InstanceManager:
    """All instances, and the one function that keeps their number."""

    def __init__(
        self,
        settings: WorkerSettings,
        launcher: Launcher,
        events: InstanceEvents,
        counters: dict[str, float],
        *,
        target: int,
        clock: Clock,
        active_clock: Clock,
        watch: DeviceWatch,
    ) -> None:
        """`active_clock`: a clock that stands while this process does not run (ActiveClock)."""
        self._settings = settings
        self._launcher = launcher
        self._events = events
        self._counters = counters
        self._clock = clock
        self._active_clock = active_clock
        self._starter = InstanceStarter(
            settings,
            launcher,
            watch,
            clock=clock,
            active_clock=active_clock,
            on_frame=self._on_frame,
            on_gone=self._on_gone,
        )
        self.instances = InstanceSet()
        self.target = target
        self.ceiling = InstanceCeiling(settings.instances.max, clock)
        self.startup_backoff = StartupBackoff(clock)
        self._oom_kills = OomKills(clock())
        # How the last one ended that was not asked to.
        self.last_exit: ExitReason | None = None
        self._refused = False
        # One more than wanted while the only instance is replaced.
        self._surge = 0
        self._preparing = False
        self._closing = False
        self._scheduler = Scheduler(self.tend)

    @property
    def wanted(self) -> int:
        return min(self.target, self.ceiling.value)

    @property
    def footprint(self) -> Footprint:
        return self._starter.footprints.current

    @property
    def answers(self) -> AnswerBudget:
        """Where the instances' answers are held."""
        return self._starter.answers

    @property
    def slow(self) -> Problem | None:
        """Why pages of the largest size will not be answered in time, if so."""
        return self._starter.slow

    @property
    def ready(self) -> int:
        """Instances that read what they are given."""
        return self.instances.ready

    @property
    def booting(self) -> int:
        return self.instances.booting or int(self._preparing)

    def alone(self, instance: ManagedInstance) -> bool:
        """Whether no other instance that reads is there or will come."""
        none_comes = (
            self.wanted <= len(self.instances.here) or self.startup_backoff.problem is not None
        )
        return none_comes and not self.instances.has_other(instance)

    def set_target(self, target: int) -> None:
        """Ask for another number of instances; also starts over after failed boots."""
        self.target = target
        self.startup_backoff.forget()
        self.tend()

    def see(self, look: DeviceSnapshot) -> None:
        """A look at the device, and at those who are on it."""
        self._oom_kills.expire_unclaimed(self._clock())
        for instance in self.instances.values():
            self._starter.see(instance, look)
        self._end_stopped()
        given_up = (
            self.startup_backoff.problem is not None
            and self.startup_backoff.problem.reason == "DeviceError"
        )
        if given_up and self._refused and not look.refused:
            self.startup_backoff.forget()  # the driver answers again
        self._refused = look.refused
        self.tend()

    def note_stops(self) -> None:
        """Find out who stands by SIGSTOP, or under a debugger, and who goes on."""
        self.instances.note_stops(self._active_clock())

    def _end_stopped(self) -> None:
        """Replace who has nothing to do and stands for as long as a page may take; on a page that
        has a limit of its own."""
        self.note_stops()
        if self.startup_backoff.problem is not None:
            return  # nobody would come in its place, and it may go on
        limit = self._settings.admission.timeout_seconds
        for instance in self.instances.here:
            since = instance.stopped_since
            if (
                instance.state == "idle"
                and since is not None
                and self._active_clock() - since >= limit
            ):
                why = f"it was stopped (SIGSTOP) for {limit:g} s (admission.timeoutSeconds)"
                self.discard(instance, why)

    def out_of_memory(self, instance: ManagedInstance) -> None:
        """Memory ran out for a instance: one fewer from now on, for a while."""
        self._counters["out_of_memory"] += 1
        self.ceiling.lower(
            sum(other.here for other in self.instances.values() if other is not instance)
        )
        _log.warning("out of memory", extra={"ceiling": self.ceiling.value})

    def brake(self) -> None:
        """Memory is critically low: give up the newest instance, unless it is the only one, or one
        is leaving already."""
        here = self.instances.here
        if len(here) < 2 or len(here) < len(self.instances):
            return  # what one that is leaving gives back has not been seen yet
        self._counters["braked"] += 1
        self.ceiling.lower(len(here) - 1)
        newest = max(here, key=lambda instance: instance.born)
        self.retire(newest, "the device's memory is critically low")
        self.tend()

    def hand(self, instance: ManagedInstance, work: WorkItem) -> None:
        """Mark a instance busy with `work`."""
        instance.work, instance.since, instance.state = work, self._clock(), "busy"
        instance.told = 0

    def retire(self, instance: ManagedInstance, why: str) -> None:
        """Let it finish what it is on, and end."""
        if not instance.here:
            return
        _log.info("instance retires", extra={"instance": instance.ident, "why": why})
        instance.asked_for = why
        booting = instance.state == "booting"
        instance.state = "retiring"
        if booting:  # it listens to nobody yet, and holds nothing of a client's
            instance.process.kill(why)
        else:
            instance.process.hang_up()
            self._expect_leave(instance)

    def discard(self, instance: ManagedInstance, why: str) -> None:
        """End it now: it hangs, or its device context cannot be trusted any more."""
        if instance.here and not instance.process.ended:  # else its end is counted when it is told
            self._counters["deaths"] += 1
        instance.state = "retiring"
        instance.process.kill(why)

    def tend(self) -> None:
        """Take the next step from what is there towards what is wanted."""
        if self._closing:
            return
        until_raise = self.ceiling.wait()
        if until_raise is not None:
            self._scheduler.wake_in(until_raise)
        self._dismiss_surplus()
        self._replace_one()
        room = self.wanted + self._surge - len(self.instances)
        if room > 0 and not self.booting and self.startup_backoff.problem is None:
            wait = self.startup_backoff.wait()
            if wait > 0:
                self._scheduler.wake_in(wait)
            else:
                self._preparing = True
                self._scheduler.spawn(self._boot())
        self._events.on_free()

    async def close(self) -> None:
        """End all instances, at once where they are at work."""
        self._closing = True
        await self._scheduler.close()
        instances = tuple(self.instances.values())
        for instance in instances:
            if instance.work is not None:
                instance.state = "retiring"
                instance.process.kill("the worker stops")
            else:
                self.retire(instance, "the worker stops")
        gone = [asyncio.ensure_future(instance.process.wait()) for instance in instances]
        if gone:
            _, late = await asyncio.wait(gone, timeout=2)
            for instance in instances:
                instance.process.kill("it did not end when asked to")
            if late:
                await asyncio.wait(late)

    def _dismiss_surplus(self) -> None:
        if self._surge and self.instances.warm > self.wanted:
            self._surge = 0  # the replacement is warm: the old one may go
        for instance in self.instances.surplus(self.wanted + self._surge):
            self.retire(instance, instance.recycle or f"{self.wanted} instances are wanted")

    def _replace_one(self) -> None:
        """Start replacing one worn-out instance, if nothing else is going on."""
        worn = next((m for m in self.instances.values() if m.recycle and m.warm), None)
        short = len(self.instances) < self.wanted or any(
            not m.here for m in self.instances.values()
        )
        busy = self._surge or self.booting or short
        if worn is None or busy or self.startup_backoff.problem is not None:
            return
        self._counters["recycled"] += 1
        if self.ready > 1 or not self._starter.has_room_for(worn.peak):
            self.retire(worn, worn.recycle or "")
        else:  # the only one: its replacement is warm before it goes
            extra = {"instance": worn.ident, "why": worn.recycle}
            _log.info("instance is being replaced", extra=extra)
            self._surge = 1

    async def _boot(self) -> None:
        instance: ManagedInstance | None = None
        try:
            instance = await self._starter.prepare(alone=not self.instances, instances=self.wanted)
            if self._closing or self.wanted + self._surge <= len(self.instances):
                return
            await self._starter.start(instance)
            self.instances[instance.ident] = instance
        except ModelError as error:
            self._boot_failed(Problem(reason=error.reason, message=str(error)))
        except OSError as error:
            message = f"no process could be started: {error}"
            self._boot_failed(Problem(reason="BootFailed", message=message), hindered=True)
        except DeviceUnavailable:
            self.startup_backoff.postpone(_LOST_SECONDS)  # the report says why
        except ReserveExceedsDevice as error:
            self._boot_failed(Problem(reason="InsufficientMemory", message=str(error)), final=True)
        finally:
            self._preparing = False
            self.tend()

    def _on_frame(self, instance: ManagedInstance, frame: Frame) -> None:
        message_checks.check(frame.head, asked=instance.asked, number=instance.given)
        op = frame.head.get("op")
        if op == "failed":
            self._starter.note_failure(instance, frame)
            return
        if op == "ready":
            self._scheduler.spawn(self._warm(instance, frame))
            return
        work = instance.work
        assert work is not None  # or it was not asked
        if op == "progress":
            instance.told += 1
            interval = self._settings.admission.progress_seconds
            message_checks.check_progress(
                frame, instance.told, self._clock() - instance.since, interval
            )
            self._events.on_progress(work)
            return
        instance.work = None
        self._starter.note(instance, frame)
        self._on_answer(instance, work, frame)

    async def _warm(self, instance: ManagedInstance, frame: Frame) -> None:
        if not await self._starter.measure(instance, frame):
            return
        if instance.state == "booting" and instance.ident in self.instances:
            self._on_ready(instance, frame)

    def _on_ready(self, instance: ManagedInstance, frame: Frame) -> None:
        instance.cancel_timers()
        self._counters["boots"] += 1
        self.startup_backoff.ready()
        instance.since, instance.state = self._clock(), "idle"
        names = ("buildSeconds", "warmSeconds", "pageSeconds")
        seconds = {name: frame.head.get(name) for name in names}
        extra = {"instance": instance.ident, "memory": instance.memory, **seconds}
        _log.info("instance ready", extra=extra)
        self.tend()

    def _on_answer(self, instance: ManagedInstance, work: WorkItem, frame: Frame) -> None:
        instance.cancel_timers()
        began, instance.since = instance.since, self._clock()
        if instance.state == "busy":
            instance.state = "idle"
        else:
            self._expect_leave(instance)
        op = frame.head.get("op")
        if op != "fault":
            instance.failed_in_a_row = 0
            self.startup_backoff.useful()
        if op == "done":
            instance.answered += 1
            self._counters["pages"] += 1
        self._counters["page_seconds"] += instance.since - began
        cap = self._settings.memory.per_instance
        instance.recycle = instance.recycle or failure_rules.should_recycle(
            answered=instance.answered,
            memory=instance.memory,
            memory_when_warm=instance.memory_when_warm,
            after_requests=self._settings.recycle.after_requests,
            growth=self._settings.recycle.memory_growth,
            cap=cap if isinstance(cap, int) else None,
        )
        self._events.on_answer(instance, work, frame)
        self.tend()

    def _on_gone(self, instance: ManagedInstance, status: int) -> None:
        instance.cancel_timers()
        self.instances.pop(instance.ident, None)
        work, instance.work = instance.work, None
        exit_reason = self._exit_reason_of(instance, status)
        extra = {"instance": instance.ident, "cause": exit_reason.cause, "why": exit_reason.why}
        if instance.state == "booting":
            self._boot_failed(self._starter.blame(exit_reason.startup_problem), exit_reason)
        elif not instance.here and (
            exit_reason.cause == "asked" or instance.process.killed_for is not None
        ):
            _log.info("instance gone", extra=extra)
        else:
            _log.warning("instance died", extra=extra | {"lastWords": exit_reason.words})
            self._counters["killed"] += exit_reason.cause == "outside"
            self._counters["deaths"] += 1
            if instance.answered == 0:
                self.startup_backoff.died_fruitless()
        if exit_reason.cause != "asked":
            self.last_exit = exit_reason
        if not any(other.recycle for other in self.instances.values()):
            self._surge = 0  # whom it was for has gone
        if work is not None:
            # Else the seconds that it was seen at work for would be gone from the sum with it.
            self._counters["page_seconds"] += self._clock() - instance.since
            self._events.on_lost(instance, work, exit_reason)
        elif exit_reason.cause == "memory" and instance.state != "booting":
            self.out_of_memory(instance)
        self.tend()

    def _exit_reason_of(self, instance: ManagedInstance, status: int) -> ExitReason:
        process = instance.process
        sigkill = status == -signal.SIGKILL and process.killed_for is None
        return ExitReason.from_status(
            status,
            killed_for=process.killed_for,
            asked_for=instance.asked_for,
            starved=sigkill and instance.failure is None and self._oom_kills.claim(),
            words=process.last_words,
            own=instance.failure,
        )

    def _boot_failed(
        self,
        problem: Problem,
        exit_reason: ExitReason | None = None,
        *,
        final: bool = False,
        hindered: bool = False,
    ) -> None:
        """A boot came to nothing: before there was a process, or by its `death`. `hindered`: the
        system had no room for a process."""
        self._counters["boot_failures"] += 1
        extra = {"reason": problem.reason, "why": problem.message}
        _log.error("instance failed to boot", extra=extra)
        if problem.reason == "InsufficientMemory" and self.instances.warm:
            self.ceiling.lower(self.instances.warm)  # what is there fits; one more does not
            return
        if exit_reason is not None and exit_reason.cause == "outside":
            self._counters["killed"] += 1
            self.startup_backoff.hindered(problem)
        elif hindered:
            self.startup_backoff.hindered(problem)
        else:
            told = exit_reason is not None and exit_reason.own is not None
            self.startup_backoff.failed(
                problem, final=final or (told and problem.reason == "BootFailed")
            )
        if self.startup_backoff.problem is not None and problem.reason.startswith("Model"):
            self._recheck_later()

    def _recheck_later(self) -> None:
        """DeviceSnapshot at broken model files again: who puts them right need not know about us."""

        async def recheck() -> None:
            try:
                await self._launcher.prepare()
            except ModelError:
                self._recheck_later()
            else:
                self.startup_backoff.forget()
                self.tend()

        def begin() -> None:
            if self.startup_backoff.problem is not None and not self._closing:
                self._scheduler.spawn(recheck())

        asyncio.get_running_loop().call_later(_RECHECK_SECONDS, begin)

    def _expect_leave(self, instance: ManagedInstance) -> None:
        """A retiring instance that has no work should be gone soon."""
        if instance.work is None:
            why = f"it did not end within {_LEAVE_SECONDS:g} s ({instance.asked_for})"
            late = Deadline(_LEAVE_SECONDS, self._active_clock, lambda: instance.process.kill(why))
            instance.timers.append(late)


def new_counters() -> dict[str, float]:
    """All counters of the wire at zero."""
    return dict.fromkeys(Counters.model_fields, 0)
