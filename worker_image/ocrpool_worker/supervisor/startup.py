"""Starts one instance: verify, exec, warm up, measure its memory."""

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
from ocrpool_worker.supervisor.active_clock import Clock
from ocrpool_worker.supervisor.deadline import Deadline
from ocrpool_worker.supervisor.footprint import FootprintEstimator, InstanceMemory
from ocrpool_worker.supervisor.instance_process import InstanceProcess
from ocrpool_worker.supervisor.launch import Launcher
from ocrpool_worker.supervisor.managed_instance import ManagedInstance

_log = logging.getLogger(__name__)

# The fault that an instance reports → the reason of the worker's problem. All others: BootFailed.
_FAULT_REASONS = {"memory": "InsufficientMemory", "device": "DeviceError"}


class DeviceUnavailable(Exception):
    """The device is lost: no startup can work until it is back."""


class ReserveExceedsDevice(Exception):
    """The reserve is the whole device: there can never be an instance."""


class InstanceStarter:
    """Creates, starts and measures instances. StartupControl decides when."""

    def __init__(
        self,
        settings: WorkerSettings,
        launcher: Launcher,
        watch: DeviceWatch,
        *,
        clock: Clock,
        active_clock: Clock,
        on_frame: Callable[[ManagedInstance, Frame], None],
        on_exit: Callable[[ManagedInstance, int], None],
    ) -> None:
        self._settings = settings
        self._launcher = launcher
        self._watch = watch
        self._clock = clock
        self._active_clock = active_clock
        self._on_frame = on_frame
        self._on_exit = on_exit
        self._numbers = itertools.count(1)
        self.answer_budget = AnswerBudget(settings.admission)
        # Why pages of the largest size will not be answered in time, by the last warm-up.
        self.slow_pages: Problem | None = None
        self.footprints = FootprintEstimator(on_gpu=watch.identity.kind == "gpu")

    async def create(self, *, alone: bool, instances: int) -> ManagedInstance:
        """An instance that can be started. `alone`: no instance of this worker is on the device;
        `instances`: how many there will be with this one.

        Raises ModelError, DeviceUnavailable or ReserveExceedsDevice.
        """
        snapshot = await self._watch.observe()
        if snapshot.problem is not None and snapshot.problem.reason == "DeviceLost":
            raise DeviceUnavailable(snapshot.problem.message)
        reserve = self._settings.memory.reserve
        if snapshot.memory is not None and reserve >= snapshot.memory.total:
            raise ReserveExceedsDevice(
                f"memory.reserve ({format_bytes(reserve)}) leaves nothing of the "
                f"{format_bytes(snapshot.memory.total)} of {self._watch.identity.name}; lower it"
            )
        plan = await self._launcher.prepare(
            instances=instances, context_bytes=self.footprints.overhead
        )
        ident = f"i{next(self._numbers)}"
        process = InstanceProcess(
            ident,
            environment=plan.environment,
            answer_budget=self.answer_budget,
            on_frame=lambda frame: self._on_frame(instance, frame),
            on_exit=lambda status: self._on_exit(instance, status),
        )
        now = self._clock()
        instance = ManagedInstance(ident, process, now, plan.start_command, state_since=now)
        if alone and snapshot.memory is not None:
            instance.free_before = snapshot.memory.free
        return instance

    async def start(self, instance: ManagedInstance) -> None:
        """Exec the process and send its first command. Raises OSError."""
        await instance.process.start()
        instance.process.send(instance.start_command)
        limit = self._settings.instances.boot_seconds
        expire = lambda: self._on_timeout(instance)  # noqa: E731
        instance.timers.append(Deadline(limit, self._active_clock, expire))
        extra = {"instance": instance.ident, "pid": instance.process.pid}
        _log.info("instance boots", extra=extra)

    async def measure(self, instance: ManagedInstance, frame: Frame) -> bool:
        """Measure a warm instance. False where it holds too much memory, and is killed."""
        snapshot = await self._watch.observe()
        measured = self._memory_of(instance, frame, snapshot)
        lost = None
        if instance.free_before is not None and snapshot.memory is not None:
            lost = instance.free_before - snapshot.memory.free
        self.footprints.record_startup(measured, lost)
        instance.record_memory(measured, self.footprints)
        instance.memory_when_warm = instance.memory
        self._check_page_time(instance, float(frame.head.get("pageSeconds") or 0.0))
        cap = self._settings.memory.per_instance
        if isinstance(cap, int) and instance.memory > cap:
            message = (
                f"an instance holds {format_bytes(instance.memory)} after its warm-up, over "
                f"memory.perInstance ({format_bytes(cap)}); raise that, or lower "
                "admission.maxMegapixels"
            )
            instance.startup_problem = Problem(reason="InsufficientMemory", message=message)
            instance.process.kill(message)
            return False
        return True

    def _check_page_time(self, instance: ManagedInstance, page_seconds: float) -> None:
        """Compare the time of the largest admitted page with the time limit."""
        limits = self._settings.admission
        why = failure_rules.too_slow(
            page_seconds=page_seconds,
            limit=limits.timeout_seconds,
            megapixels=limits.max_megapixels,
        )
        self.slow_pages = None if why is None else Problem(reason="PagesTooSlow", message=why)
        if self.slow_pages is not None:
            extra = {"instance": instance.ident, "reason": self.slow_pages.reason, "why": why}
            _log.warning("the largest page takes too long", extra=extra)

    def record_startup_failure(self, instance: ManagedInstance, frame: Frame) -> None:
        """A starting instance reported why it fails. It exits by itself."""
        reason = _FAULT_REASONS.get(str(frame.head.get("fault")), "BootFailed")
        instance.startup_problem = Problem(reason=reason, message=str(frame.head.get("message")))

    def record_memory(self, instance: ManagedInstance, frame: Frame) -> None:
        """Record the memory that an instance reported with its answer."""
        measured = self._memory_of(instance, frame, self._watch.latest())
        instance.record_memory(measured, self.footprints)

    def record_snapshot(self, instance: ManagedInstance, snapshot: DeviceSnapshot) -> None:
        """Record a device snapshot, which may show an instance's memory in the middle of a page."""
        if instance.memory_source == "rss":
            held = instance.memory_at(snapshot)
            instance.peak = max(instance.peak, held)
            self.footprints.record_resident(held)

    def with_device_problem(self, problem: Problem) -> Problem:
        """The problem of a failed startup. Where the driver itself answers with an error, that is
        the cause, whatever the engine reported."""
        snapshot = self._watch.latest()
        of_engine = problem.reason in ("BootFailed", "DeviceError")
        if not of_engine or not snapshot.refused or snapshot.problem is None:
            return problem
        return Problem(
            reason="DeviceError", message=f"{snapshot.problem.message}; {problem.message}"
        )

    def has_free_memory(self, size: int) -> bool:
        """Whether the device has so many bytes free beyond the reserve."""
        memory = self._watch.latest().memory
        return memory is not None and memory.free - self._settings.memory.reserve >= size

    @staticmethod
    def _memory_of(
        instance: ManagedInstance, frame: Frame, snapshot: DeviceSnapshot
    ) -> InstanceMemory:
        return InstanceMemory.from_frame(frame.head, snapshot.processes.get(instance.process.pid))

    def _on_timeout(self, instance: ManagedInstance) -> None:
        if instance.process.ended:
            return
        limit = self._settings.instances.boot_seconds
        message = f"not ready after {limit:g} s (instances.bootSeconds)"
        instance.startup_problem = Problem(reason="BootTimeout", message=message)
        instance.process.kill(message)
