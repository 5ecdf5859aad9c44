"""Regular clients beside an attack: each sends one page after the other and checks every answer."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

from tests.worker.attack import read_answer
from tests.worker.calls import status_of, whole
from tools.bench.labs.hostile.pages import CheckedRequest
from tools.bench.labs.hostile.result import RequestCounts

# An answer may take this long, whatever is done to the worker; then it counts as lost.
ANSWER_SECONDS = 90.0
# A page that gets 429, 503 or 504 is sent again for so long.
AGAIN_SECONDS = 60.0
PAUSE_SECONDS = 0.1


class BystanderClient:
    """One connection at a time, kept alive as long as the worker keeps it. `crowd`: the port may be
    full, so a connection that is closed before anything was answered is to come again."""

    def __init__(
        self, port: int, counts: RequestCounts, *, patient: bool, address: str, crowd: bool = False
    ) -> None:
        self._port = port
        self._account = counts
        self._patient = patient
        self._address = address
        self._crowd = crowd
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def read(self, request: CheckedRequest) -> None:
        """Send a page until there is an answer to it."""
        self._account.sent += 1
        deadline = time.monotonic() + AGAIN_SECONDS
        while True:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    answer = await self._exchange(request.sent)
            except (TimeoutError, OSError) as error:
                await self.hang_up()
                self._account.lose(request, f"{type(error).__name__} {error}")
                return
            if not answer and self._crowd and time.monotonic() < deadline:
                self._account.again += 1
                await self.hang_up()
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if not whole(answer):
                await self.hang_up()
                self._account.lose(request, f"the connection ended after {answer[:200]!r}")
                return
            head, _, body = answer.partition(b"\r\n\r\n")
            if body_rest(head, body):
                self._account.doubled += 1
                self._account.note(f"request {request.number}: more than one answer")
                await self.hang_up()
            if b"connection: close" in head.lower():
                await self.hang_up()
            if not self._account.judge(request, status_of(answer), body, patient=self._patient):
                return
            if time.monotonic() > deadline:
                self._account.lose(request, f"{status_of(answer)} to the end: {body[:200]!r}")
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _exchange(self, sent: bytes) -> bytes:
        fresh = self._stream is None
        answer = await self._once(sent)
        # A kept connection may be closed just as the next request is on its way; RFC 9110 has the
        # client send it again where nothing at all was answered.
        if not answer and not fresh:
            await self.hang_up()
            answer = await self._once(sent)
        return answer

    async def _once(self, sent: bytes) -> bytes:
        if self._stream is None:
            self._stream = await asyncio.open_connection(
                "127.0.0.1", self._port, limit=2**22, local_addr=(self._address, 0)
            )
        reader, writer = self._stream
        with contextlib.suppress(ConnectionError):
            writer.write(sent)
            await writer.drain()
        with contextlib.suppress(ConnectionError):
            return await read_answer(reader)
        return b""

    async def hang_up(self) -> None:
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None

    async def end(self) -> None:
        """Look whether anything came that was not asked for."""
        if self._stream is not None:
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(0.05):
                    if await self._stream[0].read(1):
                        self._account.doubled += 1
                        self._account.note("an answer that nobody had asked for")
        await self.hang_up()


def body_rest(head: bytes, body: bytes) -> bytes:
    """What lies behind the body that the head declares."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return body[int(value) :]
    return b""


async def play(
    port: int,
    source: Iterator[CheckedRequest],
    counts: RequestCounts,
    *,
    clients: int,
    until: Callable[[], bool],
    patient: bool = True,
    pause: float = 0.0,
    address: str = "127.0.0.1",
    crowd: bool = False,
    allowed: Callable[[], bool] = lambda: True,
) -> None:
    """Let clients take requests from `source` until `until` says so, or there are none left. They
    wait while `allowed` says no."""

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
                await one.read(request)
                await asyncio.sleep(pause)
        finally:
            await one.end()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())


class Bystanders:
    """The same in a thread, beside an attack. As a context manager; raises what a client raised."""

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
                    play(
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
        self._thread.join(ANSWER_SECONDS + AGAIN_SECONDS)
        if self._error is not None:
            raise self._error
