"""When a request has waited long enough."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ocrpool_worker.supervisor.boots import Clock
from ocrpool_worker.supervisor.work import Job


class Deadline:
    """Expires a request that made no progress for `limit` seconds: for a single page since it was
    accepted, for a document since its last page."""

    def __init__(
        self,
        limit: float,
        clock: Clock,
        job: Job,
        expire: Callable[[Job], None],
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._job = job
        self._expire = expire
        self._handle = asyncio.get_running_loop().call_later(limit, self._check)

    def _check(self) -> None:
        left = self._job.progressed + self._limit - self._clock()
        if left <= 0:
            self._expire(self._job)
        else:
            self._handle = asyncio.get_running_loop().call_later(left, self._check)

    def cancel(self) -> None:
        self._handle.cancel()
