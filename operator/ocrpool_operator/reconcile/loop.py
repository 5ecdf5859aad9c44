"""Runs the rounds of all pools: soon after an event, else when the last round asked for it.

Rounds of different pools run at the same time, rounds of one pool do not. A pool whose round fails
waits longer each time, so that nothing is tried in a hot loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ocrpool.protocol import backoff_seconds
from ocrpool_operator.cluster.cache import Key
from ocrpool_operator.cluster.client import ApiError
from ocrpool_operator.metrics import OperatorMetrics

_log = logging.getLogger(__name__)
# Events come in bursts. A round that starts this much later sees the whole burst.
DEBOUNCE_SECONDS = 0.1
FIRST_BACKOFF = 1.0
MAX_BACKOFF = 60.0
# For an API server that is busy or unavailable: it may be back at any moment. One call shows it.
MAX_API_BACKOFF = 15.0
MAX_CONCURRENT_ROUNDS = 16

Reconcile = Callable[[Key], Awaitable[float | None]]


class ReconcileLoop:
    """A queue of pools with the time at which each is due. `clock`: monotonic seconds."""

    def __init__(
        self, reconcile: Reconcile, metrics: OperatorMetrics, clock: Callable[[], float]
    ) -> None:
        self._reconcile = reconcile
        self._metrics = metrics
        self._clock = clock
        self._due: dict[Key, float] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        # Pools that had an event during their round.
        self._dirty: set[Key] = set()
        # Pools that had a round.
        self._known: set[Key] = set()
        # Failed rounds in a row.
        self._failures: dict[Key, int] = {}
        self._wake = asyncio.Event()
        self._last_turn = clock()

    def enqueue(self, key: Key, delay: float = DEBOUNCE_SECONDS) -> None:
        """Run a round of this pool soon. A pool whose last round failed keeps its pause."""
        if key in self._running:
            self._dirty.add(key)
            return
        if key not in self._failures or key not in self._due:
            due = self._clock() + delay
            self._due[key] = min(due, self._due.get(key, due))
            self._wake.set()

    @property
    def lag_seconds(self) -> float:
        """Seconds by which the loop, or the pool that has waited longest, is late."""
        now = self._clock()
        return max([now - self._last_turn, *(now - due for due in self._due.values())])

    async def run(self) -> None:
        """Run until cancelled. Running rounds are cancelled with it."""
        # A standby queues pools and runs no round, so their lag counts only from now on.
        started = self._clock()
        self._due = {key: max(due, started) for key, due in self._due.items()}
        try:
            while True:
                self._last_turn = self._clock()
                self._start_due_rounds()
                await self._wait()
        finally:
            cancelled = dict(self._running)
            for task in cancelled.values():
                task.cancel()
            await asyncio.gather(*cancelled.values(), return_exceptions=True)
            # If it runs again, it starts with the rounds that were cancelled.
            self._due.update(dict.fromkeys(cancelled, self._clock()))

    def _start_due_rounds(self) -> None:
        now = self._clock()
        due = [key for key, when in self._due.items() if when <= now]
        # New pools are first: their pods are created before other pools have their next round.
        due.sort(key=lambda key: (key in self._known, self._due[key]))
        for key in due[: MAX_CONCURRENT_ROUNDS - len(self._running)]:
            del self._due[key]
            self._known.add(key)
            self._running[key] = asyncio.create_task(self._run_round(key))

    async def _wait(self) -> None:
        self._wake.clear()
        first = min(self._due.values(), default=self._clock() + 1.0)
        free = len(self._running) < MAX_CONCURRENT_ROUNDS
        seconds = min(1.0, max(0.0, first - self._clock())) if free else 1.0
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _run_round(self, key: Key) -> None:
        started = self._clock()
        where = "/".join(key)
        result = "ok"
        try:
            delay = await self._reconcile(key)
            self._failures.pop(key, None)
        except ApiError as error:
            result = "api"
            delay = max(error.retry_after, min(self._next_backoff(key), MAX_API_BACKOFF))
            _log.warning("%s; next round in %g s", error, delay, extra={"pool": where})
        except Exception:
            result, delay = "error", self._next_backoff(key)
            _log.exception("round failed; next round in %g s", delay, extra={"pool": where})
        finally:
            self._running.pop(key, None)
        self._metrics.record_round(result, self._clock() - started)
        if key in self._dirty:
            self._dirty.discard(key)
            delay = DEBOUNCE_SECONDS if key not in self._failures else delay
        if delay is None:
            self._known.discard(key)
        else:
            self._due[key] = self._clock() + delay
        self._wake.set()

    def _next_backoff(self, key: Key) -> float:
        self._failures[key] = self._failures.get(key, 0) + 1
        return backoff_seconds(self._failures[key], first=FIRST_BACKOFF, most=MAX_BACKOFF)
