"""A steady stream of requests, each of which is accounted for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import aiohttp

# Longer than any limit of a worker: a request that hangs is found out, and does not hang the test.
PATIENCE_SECONDS = 90.0


@dataclass(frozen=True)
class Answer:
    """`began`, `ended`: seconds since the load began. `error` is empty where it was as expected."""

    began: float
    ended: float
    status: int
    error: str

    def __str__(self) -> str:
        return f"{self.began:.2f} s to {self.ended:.2f} s: {self.error or self.status}"


class SteadyLoad:
    """Sends `body` to `url` so many times a second, whether answers come or not, until it is left.

    `check` gets a 200's JSON and answers what is wrong with it, or nothing. Each request has a
    connection of its own unless `keep_alive`.
    """

    def __init__(
        self,
        url: str,
        body: bytes,
        check: Callable[[object], str],
        *,
        rate: float = 5.0,
        keep_alive: bool = False,
    ) -> None:
        self._url = url
        self._body = body
        self._check = check
        self._pause = 1.0 / rate
        self._keep_alive = keep_alive
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")
        self._stop = threading.Event()
        self._start = 0.0
        self.answers: list[Answer] = []

    def __enter__(self) -> SteadyLoad:
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._start

    @property
    def failed(self) -> list[Answer]:
        return [each for each in self.answers if each.error]

    async def _run(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, force_close=not self._keep_alive)
        timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            asked: set[asyncio.Task[None]] = set()
            due = time.monotonic()
            while not self._stop.is_set():
                task = asyncio.create_task(self._ask(session))
                asked.add(task)
                task.add_done_callback(asked.discard)
                due += self._pause
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await asyncio.gather(*asked)

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        began, status = self.seconds, 0
        try:
            async with session.post(self._url, data=self._body) as answer:
                status = answer.status
                if status == 200:
                    error = self._check(await answer.json())
                else:
                    error = f"{status}: {(await answer.text())[:200]}"
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        self.answers.append(Answer(began, self.seconds, status, error))
