"""The loop of `ocrpool up`: observe every worker, plan, ask for the target; until told to stop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from ocrpool.local.devices import Found
from ocrpool.local.errors import LocalError
from ocrpool.local.notices import Notices
from ocrpool.local.runtime_state import Running, RunningWorker, write
from ocrpool.local.shutdown import Stopping
from ocrpool.local.worker_process import NoAnswer, WorkerProcess
from ocrpool.planner.instances.plan import plan
from ocrpool.planner.instances.types import Limits

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
        notices: Notices,
        stopping: Stopping,
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
        self._notices = notices
        self._stopping = stopping
        self._clock = clock

    async def run(self) -> None:
        """Until it is asked to stop. Raises LocalError where a worker cannot start at all."""
        try:
            write(self._folder, self._running())
        except OSError as error:
            raise LocalError(
                f"{self._folder}: {error.strerror}; make room, or set XDG_RUNTIME_DIR"
            ) from None
        self._stopping.hurry = self._kill
        rounds = asyncio.ensure_future(self._rounds())
        asked = asyncio.ensure_future(self._stopping.asked.wait())
        try:
            # Whatever is waited for at that moment, an answer or a pause, is waited for no longer.
            await asyncio.wait({rounds, asked}, return_when=asyncio.FIRST_COMPLETED)
            if rounds.done():
                rounds.result()
        finally:
            rounds.cancel()
            asked.cancel()
            await asyncio.wait({rounds, asked})
            await self._end()

    async def _rounds(self) -> None:
        for worker in self._workers:
            try:
                await worker.start()
            except OSError as error:
                raise LocalError(
                    f"{worker.name} ({worker.device}) cannot be started: {error}"
                ) from None
        async with aiohttp.ClientSession() as session:
            while True:
                rounds = (self._round(one, session) for one in self._workers)
                # All of them come to their end before one that failed is told.
                for ended in await asyncio.gather(*rounds, return_exceptions=True):
                    if ended is not None:
                        raise ended
                self._tell()
                await asyncio.sleep(self._interval)

    async def _end(self) -> None:
        for worker in self._workers:
            worker.note = "draining"
        self._tell()
        seconds = self._grace + STOP_SECONDS
        await asyncio.gather(*(worker.stop(seconds) for worker in self._workers))
        await asyncio.gather(*(worker.close() for worker in self._workers))
        for worker in self._workers:
            worker.state, worker.note = None, "ended"
        self._draw()

    async def _round(self, worker: WorkerProcess, session: aiohttp.ClientSession) -> None:
        """Observe, plan, act: for one worker, once."""
        if worker.exit_status is not None:
            if not worker.was_ready:
                raise LocalError(
                    f"{worker.name} ({worker.device}) did not start: {await worker.last_words()}",
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
        self._draw()
        try:
            write(self._folder, self._running())
        except OSError as error:
            self._notices.warn(
                "status",
                f"{self._folder}: {error.strerror}; `ocrpool status` shows what was so before",
            )

    def _draw(self) -> None:
        try:
            self._show(self._workers)
        except OSError as error:  # the terminal is gone, or a file on a full disk
            self._notices.warn("output", f"standard output: {error.strerror}; serving goes on")

    def _running(self) -> Running:
        workers = tuple(
            RunningWorker(one.name, one.device, one.port, one.control_port, one.said)
            for one in self._workers
        )
        return Running(self._pool, os.getpid(), self._workers[0].host, workers)

    def _kill(self) -> None:
        for worker in self._workers:
            worker.kill()


def workers_of(
    found: Sequence[Found],
    settings: Callable[[str, int], Mapping[str, Any]],
    folder: Path,
    notices: Notices,
) -> tuple[WorkerProcess, ...]:
    """One worker a device. `settings(device, index)` gives its settings."""
    return tuple(
        WorkerProcess(
            f"worker-{index}",
            one.setting,
            settings(one.setting, index),
            folder,
            time.monotonic,
            warn=notices.warn,
        )
        for index, one in enumerate(found)
    )
