"""When each pool's next round is: as soon as something happened, else when its time has come.

Rounds of different pools run side by side, rounds of one pool never. A pool whose round fails
waits longer each time, so nothing is ever tried in a hot loop.
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
# Events come in bursts; a round that begins this much later sees all of a burst.
GATHER_SECONDS = 0.1
BACKOFF_FIRST = 1.0
BACKOFF_MOST = 60.0
# An API server that is busy or away: it may be back any moment, and one call finds out.
BACKOFF_API_MOST = 15.0
MAX_CONCURRENT_ROUNDS = 16

Reconcile = Callable[[Key], Awaitable[float | None]]


class ReconcileLoop:
    """Due times by pool. `clock` is monotonic seconds."""

    def __init__(
        self, reconcile: Reconcile, metrics: OperatorMetrics, clock: Callable[[], float]
    ) -> None:
        self._reconcile = reconcile
        self._metrics = metrics
        self._clock = clock
        self._due: dict[Key, float] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._again: set[Key] = set()
        # Pools that have had a round.
        self._known: set[Key] = set()
        self._errors: dict[Key, int] = {}
        self._wake = asyncio.Event()
        self._turned = clock()

    def enqueue(self, key: Key, delay: float = GATHER_SECONDS) -> None:
        """Something happened to this pool: look at it soon."""
        if key in self._running:
            self._again.add(key)
            return
        if key not in self._errors or key not in self._due:
            due = self._clock() + delay
            self._due[key] = min(due, self._due.get(key, due))
            self._wake.set()

    @property
    def lag_seconds(self) -> float:
        """Seconds by which the loop, or the pool that waits longest, is behind its time."""
        now = self._clock()
        return max([now - self._turned, *(now - due for due in self._due.values())])

    async def run(self) -> None:
        """Turn until cancelled; rounds that run are cancelled with it."""
        # A standby notes what is due and does nothing of it; it is late only from now on.
        began = self._clock()
        self._due = {key: max(due, began) for key, due in self._due.items()}
        try:
            while True:
                self._turned = self._clock()
                self._start_due()
                await self._sleep()
        finally:
            ended = dict(self._running)
            for task in ended.values():
                task.cancel()
            await asyncio.gather(*ended.values(), return_exceptions=True)
            # Whoever lets it turn again begins with what was cut off.
            self._due.update(dict.fromkeys(ended, self._clock()))

    def _start_due(self) -> None:
        now = self._clock()
        due = [key for key, when in self._due.items() if when <= now]
        # A new pool's pods are asked for before others are looked at once more.
        due.sort(key=lambda key: (key in self._known, self._due[key]))
        for key in due[: MAX_CONCURRENT_ROUNDS - len(self._running)]:
            del self._due[key]
            self._known.add(key)
            self._running[key] = asyncio.create_task(self._round(key))

    async def _sleep(self) -> None:
        self._wake.clear()
        first = min(self._due.values(), default=self._clock() + 1.0)
        free = len(self._running) < MAX_CONCURRENT_ROUNDS
        seconds = min(1.0, max(0.0, first - self._clock())) if free else 1.0
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _round(self, key: Key) -> None:
        began = self._clock()
        where = "/".join(key)
        result = "ok"
        try:
            delay = await self._reconcile(key)
            self._errors.pop(key, None)
        except ApiError as error:
            result = "api"
            delay = max(error.retry_after, min(self._back_off(key), BACKOFF_API_MOST))
            _log.warning("%s; again in %g s", error, delay, extra={"pool": where})
        except Exception:
            result, delay = "error", self._back_off(key)
            _log.exception("round failed; again in %g s", delay, extra={"pool": where})
        finally:
            self._running.pop(key, None)
        self._metrics.record_round(result, self._clock() - began)
        if key in self._again:
            self._again.discard(key)
            delay = GATHER_SECONDS if key not in self._errors else delay
        if delay is None:
            self._known.discard(key)
        else:
            self._due[key] = self._clock() + delay
        self._wake.set()

    def _back_off(self, key: Key) -> float:
        self._errors[key] = self._errors.get(key, 0) + 1
        return backoff_seconds(self._errors[key], first=BACKOFF_FIRST, most=BACKOFF_MOST)
