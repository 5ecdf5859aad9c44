"""Regular clients beside an attack: each sends one page after the other and checks every answer.

They send a page again where `tools.bench.lib.load` would count a failure, and they count an answer
that comes twice; so they share its HTTP client and not its loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

from tools.bench.labs.hostile.pages import CheckedRequest
from tools.bench.labs.hostile.result import RequestCounts
from tools.bench.lib.http_client import Connection, HttpAnswer, NoAnswerError

# An answer may take so long, whatever the worker goes through. After that it counts as lost.
ANSWER_SECONDS = 90.0
# A page that gets 429, 503 or 504 is sent again for so long.
RETRY_SECONDS = 60.0
PAUSE_SECONDS = 0.1


class BystanderClient:
    """One connection at a time, kept as long as the worker keeps it. `crowd`: the port may be full,
    so a connection that is closed before any answer is tried again."""

    def __init__(
        self, port: int, counts: RequestCounts, *, patient: bool, address: str, crowd: bool = False
    ) -> None:
        self._connection = Connection(("127.0.0.1", port), source=address)
        self._counts = counts
        self._patient = patient
        self._crowd = crowd

    async def send(self, request: CheckedRequest) -> None:
        """Send a page until there is an answer that is final."""
        self._counts.sent += 1
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    answer = await self._exchange(request.data)
            except NoAnswerError as error:
                if not self._crowd or time.monotonic() > deadline:
                    self._counts.record_lost(request, str(error))
                    return
                self._counts.again += 1
            except (TimeoutError, OSError) as error:
                self._counts.record_lost(request, f"{type(error).__name__} {error}")
                return
            else:
                if answer.extra:
                    self._counts.doubled += 1
                    self._counts.note(f"request {request.number}: more than one answer")
                    self._connection.close()
                if not self._counts.check_answer(
                    request, answer.status, answer.body, patient=self._patient
                ):
                    return
                if time.monotonic() > deadline:
                    why = f"{answer.status} to the end: {answer.body[:200]!r}"
                    self._counts.record_lost(request, why)
                    return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _exchange(self, data: bytes) -> HttpAnswer:
        reused = self._connection.opened
        try:
            return await self._connection.exchange(data)
        except NoAnswerError:
            # A kept connection may close just as the next request is on its way. RFC 9110 lets the
            # client send it again where not one byte was answered.
            if not reused:
                raise
            return await self._connection.exchange(data)

    async def end(self) -> None:
        """Close the connection; an answer that nobody asked for counts as doubled."""
        if await self._connection.unsolicited(0.05):
            self._counts.doubled += 1
            self._counts.note("an answer that nobody had asked for")
        self._connection.close()


async def run_clients(
    port: int,
    source: Iterator[CheckedRequest],
    counts: RequestCounts,
    *,
    clients: int,
    until: Callable[[], bool] = lambda: False,
    patient: bool = True,
    pause: float = 0.0,
    address: str = "127.0.0.1",
    crowd: bool = False,
    allowed: Callable[[], bool] = lambda: True,
) -> None:
    """Let clients take requests from `source` until it is empty or `until` returns true. They wait
    while `allowed` returns false."""

    async def client() -> None:
        one = BystanderClient(port, counts, patient=patient, address=address, crowd=crowd)
        try:
            while not until():
                if not allowed():
                    await asyncio.sleep(0.01)
                    continue
                request = next(source, None)
                if request is None:
                    break
                await one.send(request)
                await asyncio.sleep(pause)
        finally:
            await one.end()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())


class Bystanders:
    """`run_clients` in a thread, beside an attack, until the `with` block ends. Raises what a
    client raised."""

    def __init__(
        self,
        port: int,
        source: Iterator[CheckedRequest],
        counts: RequestCounts,
        *,
        clients: int = 2,
        patient: bool = True,
        pause: float = 0.05,
        address: str = "127.0.0.2",
        crowd: bool = False,
    ) -> None:
        self._over = threading.Event()
        self._error: BaseException | None = None

        def run() -> None:
            try:
                asyncio.run(
                    run_clients(
                        port,
                        source,
                        counts,
                        clients=clients,
                        until=self._over.is_set,
                        patient=patient,
                        pause=pause,
                        address=address,
                        crowd=crowd,
                    )
                )
            except BaseException as error:
                self._error = error

        self._thread = threading.Thread(target=run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(ANSWER_SECONDS + RETRY_SECONDS)
        if self._error is not None:
            raise self._error
