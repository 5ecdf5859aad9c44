"""Starts instances one at a time, and decides what follows from a failed startup."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ocrpool.protocol import Problem
from ocrpool_worker.devices.snapshot import DeviceSnapshot
from ocrpool_worker.errors import ModelError
from ocrpool_worker.supervisor.exit_reason import ExitReason
from ocrpool_worker.supervisor.instance_ceiling import InstanceCeiling
from ocrpool_worker.supervisor.instance_set import InstanceSet
from ocrpool_worker.supervisor.launch import Launcher
from ocrpool_worker.supervisor.scheduling import Scheduler
from ocrpool_worker.supervisor.startup import (
    DeviceUnavailable,
    InstanceStarter,
    ReserveExceedsDevice,
)
from ocrpool_worker.supervisor.startup_backoff import StartupBackoff

_log = logging.getLogger(__name__)
# How often damaged model files are verified again.
_RECHECK_SECONDS = 30.0
# How long a lost device postpones the next startup.
_DEVICE_LOST_SECONDS = 5.0


class StartupControl:
    """`limit` is how many instances there may be now, `desired` how many there should be: an
    instance gets its share of the cores by it. `on_change` is called after every attempt."""

    def __init__(
        self,
        starter: InstanceStarter,
        launcher: Launcher,
        instances: InstanceSet,
        *,
        ceiling: InstanceCeiling,
        backoff: StartupBackoff,
        scheduler: Scheduler,
        counters: dict[str, float],
        limit: Callable[[], int],
        desired: Callable[[], int],
        on_change: Callable[[], None],
    ) -> None:
        self._starter = starter
        self._launcher = launcher
        self._instances = instances
        self._ceiling = ceiling
        self._backoff = backoff
        self._scheduler = scheduler
        self._counters = counters
        self._limit = limit
        self._desired = desired
        self._on_change = on_change
        self._preparing = False
        self._driver_refused = False
        self._closing = False

    @property
    def starting(self) -> int:
        """Instances that are starting; 1 also while one is prepared and has no process yet."""
        return self._instances.starting or int(self._preparing)

    def start_when_due(self) -> None:
        """Start one instance, unless one is starting, the last failure was too recent, or there
        were too many failures."""
        if self.starting or self._backoff.problem is not None:
            return
        delay = self._backoff.delay()
        if delay > 0:
            self._scheduler.wake_in(delay)
        else:
            self._preparing = True
            self._scheduler.spawn(self._start())

    async def _start(self) -> None:
        try:
            instance = await self._starter.create(
                alone=not self._instances, instances=self._desired()
            )
            if self._closing or self._limit() <= len(self._instances):
                return
            await self._starter.start(instance)
            self._instances[instance.ident] = instance
        except ModelError as error:
            self._on_failure(Problem(reason=error.reason, message=str(error)))
        except OSError as error:
            message = f"no process could be started: {error}"
            self._on_failure(Problem(reason="BootFailed", message=message), external=True)
        except DeviceUnavailable:
            self._backoff.postpone(_DEVICE_LOST_SECONDS)  # the state reports the device's problem
        except ReserveExceedsDevice as error:
            self._on_failure(Problem(reason="InsufficientMemory", message=str(error)), final=True)
        finally:
            self._preparing = False
            self._on_change()

    def on_exit(self, exit_reason: ExitReason) -> None:
        """A starting instance has exited."""
        problem = self._starter.with_device_problem(exit_reason.startup_problem)
        if exit_reason.cause == "outside":
            self._counters["killed"] += 1
        reported = exit_reason.reported is not None and problem.reason == "BootFailed"
        self._on_failure(problem, final=reported, external=exit_reason.cause == "outside")

    def _on_failure(self, problem: Problem, *, final: bool = False, external: bool = False) -> None:
        """A startup failed, with or without a process. `final`, `external`: see StartupBackoff."""
        self._counters["boot_failures"] += 1
        extra = {"reason": problem.reason, "why": problem.message}
        _log.error("instance failed to boot", extra=extra)
        warm = self._instances.warm
        if problem.reason == "InsufficientMemory" and warm:
            self._ceiling.lower(warm)  # the warm ones have enough memory; one more has not
            return
        if external:
            self._backoff.record_external_failure(problem)
        else:
            self._backoff.record_failure(problem, final=final)
        if self._backoff.problem is not None and problem.reason.startswith("Model"):
            self._verify_models_later()

    def on_device_snapshot(self, snapshot: DeviceSnapshot) -> None:
        """Start over when the driver, whose errors ended the attempts, answers again."""
        problem = self._backoff.problem
        gave_up = problem is not None and problem.reason == "DeviceError"
        if gave_up and self._driver_refused and not snapshot.refused:
            self._backoff.reset()
        self._driver_refused = snapshot.refused

    def close(self) -> None:
        """Start nothing any more."""
        self._closing = True

    def _verify_models_later(self) -> None:
        """Verify damaged model files again after a while: they may have been repaired."""

        async def verify() -> None:
            try:
                await self._launcher.prepare()
            except ModelError:
                self._verify_models_later()
            else:
                self._backoff.reset()
                self._on_change()

        def begin() -> None:
            if self._backoff.problem is not None and not self._closing:
                self._scheduler.spawn(verify())

        asyncio.get_running_loop().call_later(_RECHECK_SECONDS, begin)
