"""Observe a device at intervals without blocking the event loop.

A failing driver can take minutes to answer. So a thread observes the device, and all others see the
latest snapshot, or that there has been none for too long.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ocrpool.protocol import Problem
from ocrpool_worker.devices.snapshot import DeviceIdentity, DeviceProbe, DeviceSnapshot

STALE_SECONDS = 10.0
# A driver that has answered with errors for this long does not recover by itself.
REFUSED_SECONDS = 30.0
_ADVICE = (
    "the driver keeps answering with this error. Look at the node (dmesg, nvidia-smi). If the GPU "
    "works there, this container has lost its access to it, for example by a reload of the host's "
    "systemd under NVIDIA's container runtime: create the container again"
)


class DeviceWatch:
    """Observes one device from `start` to `stop`. It belongs to one event loop."""

    def __init__(
        self,
        probe: DeviceProbe,
        *,
        clock: Callable[[], float],
        interval: float = 1.0,
        pids: Callable[[], Collection[int]] = tuple,
    ) -> None:
        """`interval`: seconds between observations. `pids`: returns the pids of the instances."""
        self._probe = probe
        self._clock = clock
        self._interval = interval
        self._pids = pids
        # Its own thread: an observation that hangs must not block the loop's other threads.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ocrpool-device")
        self._last = DeviceSnapshot()
        self._observed_at: float | None = None
        self._refused_since: float | None = None
        self._pending: asyncio.Future[DeviceSnapshot] | None = None
        self._task: asyncio.Task[None] | None = None
        self.identity: DeviceIdentity = probe.identity()

    def start(self, on_snapshot: Callable[[DeviceSnapshot], None]) -> None:
        """Observe the device at intervals, and call `on_snapshot` with each result."""
        self._task = asyncio.get_running_loop().create_task(self._run(on_snapshot))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def observe(self) -> DeviceSnapshot:
        """Observe the device now. At most one observation runs at any time.

        If it does not return within STALE_SECONDS, the result is `latest`.
        """
        if self._pending is None:
            loop = asyncio.get_running_loop()
            self._pending = asyncio.ensure_future(
                loop.run_in_executor(self._thread, self._probe.observe, self._pids())
            )
        pending = self._pending
        try:
            async with asyncio.timeout(STALE_SECONDS):
                snapshot = await asyncio.shield(pending)
        except TimeoutError:
            return self.latest()
        finally:
            if pending.done() and self._pending is pending:
                self._pending = None
        self._last, self._observed_at = snapshot, self._clock()
        if not snapshot.refused:
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = self._observed_at
        return snapshot

    def latest(self) -> DeviceSnapshot:
        """The latest snapshot, or a problem if there is none or it is too old."""
        if self._observed_at is None:
            message = f"{self.identity.name} has not answered yet"
            return DeviceSnapshot(problem=Problem(reason="DeviceUnreadable", message=message))
        age = self._clock() - self._observed_at
        if age > STALE_SECONDS:
            message = f"{self.identity.name} has not answered for {age:.0f} s"
            return DeviceSnapshot(problem=Problem(reason="DeviceUnreadable", message=message))
        return self._last if self._refused_since is None else self._refused(self._refused_since)

    def _refused(self, since: float) -> DeviceSnapshot:
        """The latest snapshot, or `DeviceError` if the driver has refused for REFUSED_SECONDS.

        A lost device keeps its own reason: it can come back without a new container.
        """
        problem = self._last.problem
        long = self._clock() - since >= REFUSED_SECONDS
        if problem is None or problem.reason == "DeviceLost" or not long:
            return self._last
        lasting = Problem(reason="DeviceError", message=f"{problem.message}; {_ADVICE}")
        return replace(self._last, problem=lasting)

    async def _run(self, on_snapshot: Callable[[DeviceSnapshot], None]) -> None:
        while True:
            on_snapshot(await self.observe())
            await asyncio.sleep(self._interval)
