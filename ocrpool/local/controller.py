"""The control loop of `ocrpool up`: observe each worker, plan, set its target, repeat."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from ocrpool.local.devices import LocalDevice
from ocrpool.local.errors import LocalError
from ocrpool.local.notices import Notices
from ocrpool.local.runtime_state import RuntimeState, WorkerRuntimeState, write_state
from ocrpool.local.shutdown import ShutdownSignals
from ocrpool.local.worker_process import WorkerProcess, WorkerUnreachable
from ocrpool.planner.instances.plan import plan_instances
from ocrpool.planner.instances.types import InstanceLimits

# Time for the instances to exit, on top of the worker's own grace period.
STOP_SECONDS = 10.0


class LocalController:
    """Runs the workers of one pool on this machine."""

    def __init__(
        self,
        pool: str,
        limits: Callable[[str], InstanceLimits],
        workers: Sequence[WorkerProcess],
        folder: Path,
        *,
        interval: float,
        grace: float,
        show: Callable[[Sequence[WorkerProcess]], None],
        notices: Notices,
        shutdown: ShutdownSignals,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`limits` returns the planner's limits for a worker name. `interval`: seconds between two
        observations. `grace`: seconds that a worker has to finish its accepted requests."""
        self._pool = pool
        self._limits = limits
        self._workers = tuple(workers)
        self._folder = folder
        self._interval = interval
        self._grace = grace
        self._show = show
        self._notices = notices
        self._shutdown = shutdown
        self._clock = clock

    async def run(self) -> None:
        """Run until a signal requests the end. Raises LocalError if a worker cannot start."""
        try:
            write_state(self._folder, self._runtime_state())
        except OSError as error:
            raise LocalError(
                f"{self._folder}: {error.strerror}; free some space, or set XDG_RUNTIME_DIR"
            ) from None
        self._shutdown.on_second_signal = self._kill
        loop = asyncio.ensure_future(self._control_loop())
        signal = asyncio.ensure_future(self._shutdown.requested.wait())
        try:
            # A signal interrupts whatever the loop waits for: an answer or the pause.
            await asyncio.wait({loop, signal}, return_when=asyncio.FIRST_COMPLETED)
            if loop.done():
                loop.result()
        finally:
            loop.cancel()
            signal.cancel()
            await asyncio.wait({loop, signal})
            await self._stop_workers()

    async def _control_loop(self) -> None:
        for worker in self._workers:
            try:
                await worker.start()
            except OSError as error:
                raise LocalError(
                    f"{worker.name} ({worker.device}) cannot be started: {error}"
                ) from None
        async with aiohttp.ClientSession() as session:
            while True:
                rounds = (self._reconcile(one, session) for one in self._workers)
                # Every worker's round finishes before an error of one of them is raised.
                for failure in await asyncio.gather(*rounds, return_exceptions=True):
                    if failure is not None:
                        raise failure
                self._publish_state()
                await asyncio.sleep(self._interval)

    async def _stop_workers(self) -> None:
        for worker in self._workers:
            worker.note = "draining"
        self._publish_state()
        seconds = self._grace + STOP_SECONDS
        await asyncio.gather(*(worker.stop(seconds) for worker in self._workers))
        await asyncio.gather(*(worker.close() for worker in self._workers))
        for worker in self._workers:
            worker.state, worker.note = None, "ended"
        self._show_workers()

    async def _reconcile(self, worker: WorkerProcess, session: aiohttp.ClientSession) -> None:
        """Observe, plan and act once for one worker."""
        if worker.exit_status is not None:
            if not worker.was_ready:
                raise LocalError(
                    f"{worker.name} ({worker.device}) did not start: {await worker.last_error()}",
                    status=max(1, worker.exit_status),
                )
            await worker.restart_when_due()
            return
        try:
            state = await worker.observe(session)
            decision = plan_instances(
                self._limits(worker.name), worker.history, state, self._clock()
            )
            if decision.target != state.instances.target:
                await worker.set_target(session, decision.target)
            # The history advances only now: a target that was not delivered is decided again.
            worker.history, worker.decision, worker.note = decision.history, decision, ""
        except WorkerUnreachable as error:
            worker.note = str(error)

    def _publish_state(self) -> None:
        self._show_workers()
        try:
            write_state(self._folder, self._runtime_state())
        except OSError as error:
            self._notices.warn(
                "status",
                f"{self._folder}: {error.strerror}; `ocrpool status` shows an old state",
            )

    def _show_workers(self) -> None:
        try:
            self._show(self._workers)
        except OSError as error:  # a closed terminal, or a file on a full disk
            self._notices.warn(
                "output", f"standard output: {error.strerror}; the pool keeps serving"
            )

    def _runtime_state(self) -> RuntimeState:
        workers = tuple(
            WorkerRuntimeState(one.name, one.device, one.port, one.control_port, one.message)
            for one in self._workers
        )
        return RuntimeState(self._pool, os.getpid(), self._workers[0].host, workers)

    def _kill(self) -> None:
        for worker in self._workers:
            worker.kill()


def workers_of(
    devices: Sequence[LocalDevice],
    settings: Callable[[str, int], Mapping[str, Any]],
    folder: Path,
    notices: Notices,
) -> tuple[WorkerProcess, ...]:
    """One worker for each device. `settings(device, index)` returns the worker's settings."""
    return tuple(
        WorkerProcess(
            f"worker-{index}",
            one.setting,
            settings(one.setting, index),
            folder,
            time.monotonic,
            warn=notices.warn,
        )
        for index, one in enumerate(devices)
    )
