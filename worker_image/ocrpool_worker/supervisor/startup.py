"""Brings one instance at a time to life: verify, exec, warm up, measure what it took."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable

from ocrpool.protocol import Problem
from ocrpool.protocol.quantity import format_bytes
from ocrpool_worker.devices.snapshot import DeviceSnapshot
from ocrpool_worker.devices.watch import DeviceWatch
from ocrpool_worker.ipc.answer_budget import AnswerBudget
from ocrpool_worker.ipc.frames import Frame
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor import failure_rules
from ocrpool_worker.supervisor.deadline import Deadline
from ocrpool_worker.supervisor.footprint import FootprintEstimator, InstanceMemory
from ocrpool_worker.supervisor.instance_process import InstanceProcess
from ocrpool_worker.supervisor.launch import Launcher
from ocrpool_worker.supervisor.managed_instance import ManagedInstance
from ocrpool_worker.supervisor.startup_backoff import Clock

_log = logging.getLogger(__name__)

# What an instance says of its boot, in the words of a worker's problem; all else is BootFailed.
_FAULTS = {"memory": "InsufficientMemory", "device": "DeviceError"}


class DeviceUnavailable(Exception):
    """The device is lost: no boot can work until it is back."""


class ReserveExceedsDevice(Exception):
    """The reserve is all of the device: no instance may ever be there."""


class InstanceStarter:
    """Starts instances and sees them through to their first page; the manager decides when."""

    def __init__(
        self,
        settings: WorkerSettings,
        launcher: Launcher,
        watch: DeviceWatch,
        *,
        clock: Clock,
        active_clock: Clock,
        on_frame: Callable[[ManagedInstance, Frame], None],
        on_gone: Callable[[ManagedInstance, int], None],
    ) -> None:
        self._settings = settings
        self._launcher = launcher
        self._watch = watch
        self._clock = clock
        self._active_clock = active_clock
        self._on_frame = on_frame
        self._on_gone = on_gone
        self._names = itertools.count(1)
        self.answers = AnswerBudget(settings.admission)
        # Why pages of the largest size will not be answered in time, as the last warm-up showed.
        self.slow: Problem | None = None
        self.footprints = FootprintEstimator(on_gpu=watch.identity.kind == "gpu")

    async def prepare(self, *, alone: bool, instances: int) -> ManagedInstance:
        """A instance that can be started; `alone`: nothing of ours is on the device yet;
        `instances`: how many there shall be with it.

        Raises ModelError, DeviceUnavailable or ReserveExceedsDevice.
        """
        look = await self._watch.observe()
        if look.problem is not None and look.problem.reason == "DeviceLost":
            raise DeviceUnavailable(look.problem.message)
        reserve = self._settings.memory.reserve
        if look.memory is not None and reserve >= look.memory.total:
            raise ReserveExceedsDevice(
                f"memory.reserve ({format_bytes(reserve)}) leaves nothing of the "
                f"{format_bytes(look.memory.total)} of {self._watch.identity.name}; lower it"
            )
        launch = await self._launcher.prepare(
            instances=instances, context_bytes=self.footprints.overhead
        )
        ident = f"i{next(self._names)}"
        process = InstanceProcess(
            ident,
            environment=launch.environment,
            answers=self.answers,
            on_frame=lambda frame: self._on_frame(instance, frame),
            on_gone=lambda status: self._on_gone(instance, status),
        )
        instance = ManagedInstance(ident, process, self._clock(), order=launch.order)
        if alone and look.memory is not None:
            instance.free_before = look.memory.free
        return instance

    async def start(self, instance: ManagedInstance) -> None:
        """Exec it and tell it what it is. Raises OSError."""
        await instance.process.start()
        instance.process.send(instance.order)
        limit = self._settings.instances.boot_seconds
        instance.timers.append(Deadline(limit, self._active_clock, lambda: self._late(instance)))
        extra = {"instance": instance.ident, "pid": instance.process.pid}
        _log.info("instance boots", extra=extra)

    async def measure(self, instance: ManagedInstance, frame: Frame) -> bool:
        """A instance is warm: see what it took of the device. False where it may not stay."""
        look = await self._watch.observe()
        figures = self.figures(instance, frame, look)
        lost = None
        if instance.free_before is not None and look.memory is not None:
            lost = instance.free_before - look.memory.free
        self.footprints.booted(figures, lost)
        instance.note_memory(figures, self.footprints)
        instance.memory_when_warm = instance.memory
        self._note_speed(instance, float(frame.head.get("pageSeconds") or 0.0))
        cap = self._settings.memory.per_instance
        if isinstance(cap, int) and instance.memory > cap:
            message = (
                f"an instance holds {format_bytes(instance.memory)} after its warm-up, over "
                f"memory.perInstance ({format_bytes(cap)}); raise that, or lower "
                "admission.maxMegapixels"
            )
            instance.failure = Problem(reason="InsufficientMemory", message=message)
            instance.process.kill(message)
            return False
        return True

    def _note_speed(self, instance: ManagedInstance, page_seconds: float) -> None:
        """The largest admitted page was read: is it read in time?"""
        limits = self._settings.admission
        why = failure_rules.too_slow(
            page_seconds=page_seconds,
            limit=limits.timeout_seconds,
            megapixels=limits.max_megapixels,
        )
        self.slow = None if why is None else Problem(reason="PagesTooSlow", message=why)
        if self.slow is not None:
            extra = {"instance": instance.ident, "reason": self.slow.reason, "why": why}
            _log.warning("the largest page takes too long", extra=extra)

    def note_failure(self, instance: ManagedInstance, frame: Frame) -> None:
        """A instance said why its boot fails."""
        reason = _FAULTS.get(str(frame.head.get("fault")), "BootFailed")
        instance.failure = Problem(reason=reason, message=str(frame.head.get("message")))

    def note(self, instance: ManagedInstance, frame: Frame) -> None:
        """A instance said what it holds, with an answer."""
        instance.note_memory(self.figures(instance, frame, self._watch.latest()), self.footprints)

    def see(self, instance: ManagedInstance, look: DeviceSnapshot) -> None:
        """A look at the device, which may tell what a instance holds in the middle of a page."""
        if instance.memory_source == "rss":
            held = instance.held_at(look)
            instance.peak = max(instance.peak, held)
            self.footprints.seen(held)

    def blame(self, problem: Problem) -> Problem:
        """What is wrong with a failed boot, where the driver itself answers with an error: that is
        no fault of the engine's, whatever it said."""
        look = self._watch.latest()
        ours = problem.reason in ("BootFailed", "DeviceError")
        if not ours or not look.refused or look.problem is None:
            return problem
        return Problem(reason="DeviceError", message=f"{look.problem.message}; {problem.message}")

    def has_room_for(self, size: int) -> bool:
        """Whether the device has so many bytes free, beyond the reserve."""
        memory = self._watch.latest().memory
        return memory is not None and memory.free - self._settings.memory.reserve >= size

    @staticmethod
    def figures(instance: ManagedInstance, frame: Frame, look: DeviceSnapshot) -> InstanceMemory:
        return InstanceMemory.of(frame.head, look.processes.get(instance.process.pid))

    def _late(self, instance: ManagedInstance) -> None:
        if instance.process.ended:
            return
        limit = self._settings.instances.boot_seconds
        message = f"not ready after {limit:g} s (instances.bootSeconds)"
        instance.failure = Problem(reason="BootTimeout", message=message)
        instance.process.kill(message)
