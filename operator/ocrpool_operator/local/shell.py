"""The loop of `ocrpool up`: observe every worker, plan, ask for the target; until told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from ocrpool_operator.local.devices import Found
from ocrpool_operator.local.errors import LocalError
from ocrpool_operator.local.runfile import Running, RunningWorker, write
from ocrpool_operator.local.worker import NoAnswer, WorkerProcess
from ocrpool_operator.planner.instances import plan
from ocrpool_operator.planner.types import Limits

# Beyond the worker's own grace period: time for its instances to end.
STOP_SECONDS = 10.0


class Shell:
    """The workers of one pool on this machine."""

    def __init__(
        self,
        pool: str,
        limits: Callable[[str], Limits],
        workers: Sequence[WorkerProcess],
        folder: Path,
        *,
        interval: float,
        grace: float,
        show: Callable[[Sequence[WorkerProcess]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`limits`: what a worker of this name may have. `interval`: seconds between two
        observations. `grace`: seconds that a worker may take to finish what it accepted."""
        self._pool = pool
        self._limits = limits
        self._workers = tuple(workers)
        self._folder = folder
        self._interval = interval
        self._grace = grace
        self._show = show
        self._clock = clock
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until SIGINT or SIGTERM. Raises LocalError where a worker cannot start at all."""
        self._stop_on_signals()
        try:
            for worker in self._workers:
                await worker.start()
            async with aiohttp.ClientSession() as session:
                while not self._stop.is_set():
                    rounds = (self._round(one, session) for one in self._workers)
                    # All of them come to their end before one that failed is told.
                    for ended in await asyncio.gather(*rounds, return_exceptions=True):
                        if ended is not None:
                            raise ended
                    self._tell()
                    await self._pause()
        finally:
            for worker in self._workers:
                worker.note = "draining"
            self._tell()
            seconds = self._grace + STOP_SECONDS
            await asyncio.gather(*(worker.stop(seconds) for worker in self._workers))
            for worker in self._workers:
                worker.state, worker.note = None, "ended"
            self._show(self._workers)

    async def _round(self, worker: WorkerProcess, session: aiohttp.ClientSession) -> None:
        """Observe, plan, act: for one worker, once."""
        if worker.exit_status is not None:
            if not worker.was_ready:
                raise LocalError(
                    f"{worker.name} ({worker.device}) did not start: {worker.last_words()}",
                    status=max(1, worker.exit_status),
                )
            await worker.restart_when_due()
            return
        try:
            state = await worker.observe(session)
            decision = plan(self._limits(worker.name), worker.history, state, self._clock())
            if decision.target != state.instances.target:
                await worker.set_target(session, decision.target)
            # Only now: a target that did not arrive is decided again.
            worker.history, worker.decision, worker.note = decision.history, decision, ""
        except NoAnswer as error:
            worker.note = str(error)

    def _tell(self) -> None:
        self._show(self._workers)
        workers = tuple(
            RunningWorker(one.name, one.device, one.port, one.control_port, one.said)
            for one in self._workers
        )
        host = self._workers[0].host
        write(self._folder, Running(self._pool, os.getpid(), host, workers))

    async def _pause(self) -> None:
        """Until the next observation is due, a worker's end or the signal to stop."""
        try:
            await asyncio.wait_for(self._stop.wait(), self._interval)
        except TimeoutError:
            return

    def _stop_on_signals(self) -> None:
        def stop() -> None:
            if self._stop.is_set():  # asked twice: not in order, but now
                for worker in self._workers:
                    worker.kill()
            self._stop.set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop)


def workers_of(
    found: Sequence[Found],
    settings: Callable[[str, int], Mapping[str, Any]],
    folder: Path,
) -> tuple[WorkerProcess, ...]:
    """One worker a device. `settings(device, index)` gives its settings."""
    return tuple(
        WorkerProcess(
            f"worker-{index}", one.setting, settings(one.setting, index), folder, time.monotonic
        )
        for index, one in enumerate(found)
    )
