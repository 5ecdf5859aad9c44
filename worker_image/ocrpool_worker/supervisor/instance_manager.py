"""Keeps the number of instances, and reacts to what each of them does.

`reconcile` compares the desired number with what is there and takes the next step. Every event ends
in a call of it, so no step depends on having seen every event. Instances start one at a time.
"""

from __future__ import annotations

import logging

from ocrpool.protocol import Footprint, Problem
from ocrpool_worker.devices.snapshot import DeviceSnapshot
from ocrpool_worker.devices.watch import DeviceWatch
from ocrpool_worker.ipc import message_checks
from ocrpool_worker.ipc.answer_budget import AnswerBudget
from ocrpool_worker.ipc.frames import Frame
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor.active_clock import Clock
from ocrpool_worker.supervisor.exit_reason import ExitReason
from ocrpool_worker.supervisor.exit_reporter import ExitReporter
from ocrpool_worker.supervisor.instance_ceiling import InstanceCeiling
from ocrpool_worker.supervisor.instance_events import InstanceEvents
from ocrpool_worker.supervisor.instance_set import InstanceSet
from ocrpool_worker.supervisor.launch import Launcher
from ocrpool_worker.supervisor.lifecycle import LifecycleState, Trigger
from ocrpool_worker.supervisor.managed_instance import ManagedInstance
from ocrpool_worker.supervisor.memory_pressure import MemoryPressure
from ocrpool_worker.supervisor.replacement import Replacement
from ocrpool_worker.supervisor.requests import WorkItem
from ocrpool_worker.supervisor.scheduling import Scheduler
from ocrpool_worker.supervisor.startup import InstanceStarter
from ocrpool_worker.supervisor.startup_backoff import StartupBackoff
from ocrpool_worker.supervisor.startup_control import StartupControl
from ocrpool_worker.supervisor.stopping import InstanceStopper

_log = logging.getLogger(__name__)


class InstanceManager:
    """All instances of one worker."""

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
        """`active_clock`: an ActiveClock."""
        self._settings = settings
        self._events = events
        self._counters = counters
        self._clock = clock
        self._active_clock = active_clock
        self._scheduler = Scheduler(self.reconcile)
        self._starter = InstanceStarter(
            settings,
            launcher,
            watch,
            clock=clock,
            active_clock=active_clock,
            on_frame=self._on_frame,
            on_exit=self._on_exit,
        )
        self._stopper = InstanceStopper(counters, clock=clock, active_clock=active_clock)
        self.instances = InstanceSet()
        self.target = target
        self.ceiling = InstanceCeiling(settings.instances.max, clock)
        self.startup_backoff = StartupBackoff(clock)
        self._exits = ExitReporter(self.startup_backoff, counters, now=clock())
        self._startup = StartupControl(
            self._starter,
            launcher,
            self.instances,
            ceiling=self.ceiling,
            backoff=self.startup_backoff,
            scheduler=self._scheduler,
            counters=counters,
            limit=lambda: self.desired + self._replacement.surge,
            desired=lambda: self.desired,
            on_change=self.reconcile,
        )
        self._replacement = Replacement(
            settings, self.instances, self._starter, self._stopper, counters
        )
        self._memory_pressure = MemoryPressure(
            self.instances, self.ceiling, self._stopper, counters
        )
        # Exit reason of the last instance that exited without being asked to.
        self.last_exit: ExitReason | None = None
        self._closing = False

    # -- state -----------------------------------------------------------------------------

    @property
    def desired(self) -> int:
        return min(self.target, self.ceiling.value)

    @property
    def footprint(self) -> Footprint:
        return self._starter.footprints.current

    @property
    def answer_budget(self) -> AnswerBudget:
        return self._starter.answer_budget

    @property
    def slow_pages(self) -> Problem | None:
        """Why pages of the largest size will not be answered in time, if so."""
        return self._starter.slow_pages

    @property
    def ready(self) -> int:
        """Instances that can read pages."""
        return self.instances.ready

    @property
    def starting(self) -> int:
        return self._startup.starting

    def is_alone(self, instance: ManagedInstance) -> bool:
        """Whether it is the only instance that can take work, and no other will start."""
        complete = self.desired <= len(self.instances.active)
        none_starts = complete or self.startup_backoff.problem is not None
        return none_starts and not self.instances.has_other(instance)

    # -- the number of instances -----------------------------------------------------------

    def set_target(self, target: int) -> None:
        """Ask for another number of instances. Also starts over after failed startups."""
        self.target = target
        self.startup_backoff.reset()
        self.reconcile()

    def reconcile(self) -> None:
        """Take the next step from the instances that are there to the desired ones."""
        if self._closing:
            return
        until_raise = self.ceiling.raise_when_due()
        if until_raise is not None:
            self._scheduler.wake_in(until_raise)
        self._replacement.retire_surplus(self.desired)
        if not self.starting and self.startup_backoff.problem is None:
            self._replacement.replace_next(self.desired)
        if len(self.instances) < self.desired + self._replacement.surge:
            self._startup.start_when_due()
        self._events.dispatch()

    async def close(self) -> None:
        """End all instances. Those that have work are killed."""
        self._closing = True
        self._startup.close()
        await self._scheduler.close()
        await self._stopper.close(tuple(self.instances.values()))

    # -- the device ------------------------------------------------------------------------

    def on_device_snapshot(self, snapshot: DeviceSnapshot) -> None:
        self._exits.on_time_passed(self._clock())
        for instance in self.instances.values():
            self._starter.record_snapshot(instance, snapshot)
        self.detect_stopped()
        if self.startup_backoff.problem is None:  # otherwise nothing would start in their place
            self._stopper.kill_stopped(
                self.instances.active, self._settings.admission.timeout_seconds
            )
        self._startup.on_device_snapshot(snapshot)
        self.reconcile()

    def detect_stopped(self) -> None:
        """Record which processes are stopped (SIGSTOP, a debugger)."""
        self.instances.detect_stopped(self._active_clock())

    def on_out_of_memory(self, instance: ManagedInstance) -> None:
        """Memory ran out for an instance: allow one fewer for a while."""
        self._memory_pressure.lower_ceiling(instance)

    def relieve_memory(self) -> None:
        """Give up one instance: device memory is critically low."""
        if self._memory_pressure.retire_newest():
            self.reconcile()

    # -- one instance ----------------------------------------------------------------------

    def assign(self, instance: ManagedInstance, item: WorkItem) -> None:
        """Mark an idle instance busy with a work item."""
        now = self._clock()
        instance.apply(Trigger.ASSIGN, now)
        instance.item, instance.assigned_at, instance.progress_frames = item, now, 0

    def retire(self, instance: ManagedInstance, why: str) -> None:
        """Let it finish its work item, and exit."""
        self._stopper.retire(instance, why)

    def kill(self, instance: ManagedInstance, why: str) -> None:
        """End it now: it hangs, or its device context cannot be trusted any more."""
        self._stopper.kill(instance, why)

    def _on_frame(self, instance: ManagedInstance, frame: Frame) -> None:
        expected = instance.expected_answer
        message_checks.check(frame.head, expected=expected, number=instance.command_number)
        op = frame.head.get("op")
        if op == "failed":
            self._starter.record_startup_failure(instance, frame)
            return
        if op == "ready":
            self._scheduler.spawn(self._finish_startup(instance, frame))
            return
        item = instance.item
        assert item is not None  # or no answer would be expected
        if op == "progress":
            instance.progress_frames += 1
            message_checks.check_progress(
                frame,
                instance.progress_frames,
                self._clock() - instance.assigned_at,
                self._settings.admission.progress_seconds,
            )
            self._events.on_progress(item)
            return
        instance.item = None
        self._starter.record_memory(instance, frame)
        self._on_answer(instance, item, frame)

    async def _finish_startup(self, instance: ManagedInstance, frame: Frame) -> None:
        if not await self._starter.measure(instance, frame):
            return
        if instance.state is not LifecycleState.STARTING:
            return  # it was retired, or has exited
        instance.cancel_timers()
        self._counters["boots"] += 1
        self.startup_backoff.record_ready()
        instance.apply(Trigger.READY, self._clock())
        names = ("buildSeconds", "warmSeconds", "pageSeconds")
        seconds = {name: frame.head.get(name) for name in names}
        extra = {"instance": instance.ident, "memory": instance.memory, **seconds}
        _log.info("instance ready", extra=extra)
        self.reconcile()

    def _on_answer(self, instance: ManagedInstance, item: WorkItem, frame: Frame) -> None:
        instance.cancel_timers()
        now = self._clock()
        instance.apply(Trigger.ANSWER, now)
        if not instance.active:
            self._stopper.expect_exit(instance)
        op = frame.head.get("op")
        if op != "fault":
            instance.failed_in_a_row = 0
            self.startup_backoff.record_answer()
        if op == "done":
            instance.answered += 1
            self._counters["pages"] += 1
        self._counters["page_seconds"] += now - instance.assigned_at
        self._replacement.check_wear(instance)
        self._events.on_answer(instance, item, frame)
        self.reconcile()

    def _on_exit(self, instance: ManagedInstance, status: int) -> None:
        instance.cancel_timers()
        self.instances.pop(instance.ident, None)
        was_starting = instance.state is LifecycleState.STARTING
        was_active = instance.active
        instance.apply(Trigger.EXIT, self._clock())
        item, instance.item = instance.item, None
        exit_reason = self._exits.reason_of(instance, status)
        if was_starting:
            self._startup.on_exit(exit_reason)
        else:
            self._exits.report(instance, exit_reason, was_active=was_active)
        if exit_reason.cause != "asked":
            self.last_exit = exit_reason
        self._replacement.on_exit()
        if item is not None:
            # Its busy seconds were reported already; without them `page_seconds` would decrease.
            self._counters["page_seconds"] += self._clock() - instance.assigned_at
            self._events.on_exit(instance, item, exit_reason)
        elif exit_reason.cause == "memory" and not was_starting:
            self.on_out_of_memory(instance)
        self.reconcile()
