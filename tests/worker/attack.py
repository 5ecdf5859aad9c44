"""Send malformed requests to a worker: each must be answered, and none with a failure."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.worker.calls import status_of, whole
from tests.worker.client import Worker
from tests.worker.malformed import Malformed, requests

CONNECTIONS = 24
# A missing answer is a failure for requests with a complete frame; others may wait forever.
PATIENCE, LONE_PATIENCE = 60.0, 0.2


class Attack:
    """Sends the first `count` requests of a seed over many connections and keeps what came back.
    `memory`: (number of the request, bytes that the supervisor held)."""

    def __init__(self, worker: Worker, *, seed: int, count: int) -> None:
        self._worker = worker
        self._seed = seed
        self._count = count
        self.statuses: Counter[str] = Counter()
        self.failures: list[str] = []
        self.memory: list[tuple[int, int]] = []

    async def run(self) -> None:
        source = requests(self._seed)
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(self._client(source))

    async def _client(self, source: Iterator[Malformed]) -> None:
        stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for request in source:
            if request.number >= self._count or self.failures:
                break
            if request.number % 1000 == 0:
                self.memory.append((request.number, resident(self._worker.pid)))
            if request.lone:
                await self._lone(request)
                continue
            if stream is None:
                stream = await self._connect()
            if not await self._framed(request, *stream):
                stream[1].close()
                stream = None
        if stream is not None:
            stream[1].close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._worker.port, limit=2**22)

    async def _framed(
        self, request: Malformed, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Send one request that must be answered. Returns whether the connection can be used
        again."""
        answer = b""
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(request.sent)
                # The worker may answer and close before it has read everything.
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
                answer = await read_answer(reader)
        except TimeoutError:
            self._note(request, f"no answer within {PATIENCE:g} s")
            return False
        except ConnectionError as error:
            self._note(request, f"no answer: {error}")
            return False
        if not whole(answer):
            self._note(request, f"hung up after {answer!r}")
            return False
        self._status(request, answer)
        return b"\r\nconnection: close" not in answer.lower() and answer.startswith(b"HTTP/1.1")

    async def _lone(self, request: Malformed) -> None:
        reader, writer = await self._connect()
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(LONE_PATIENCE):
                writer.write(request.sent)
                await writer.drain()
                answer = await read_answer(reader)
        writer.close()
        if answer.startswith(b"HTTP/1."):
            self._status(request, answer)
        else:
            self.statuses["none"] += 1

    def _status(self, request: Malformed, answer: bytes) -> None:
        status = status_of(answer)
        self.statuses[str(status)] += 1
        if not 200 <= status < 500:
            self._note(request, f"{status}: {answer[:1000]!r}")

    def _note(self, request: Malformed, what: str) -> None:
        self.failures.append(
            f"seed {self._seed}, request {request.number} ({request.kind}): {what}\n"
            f"it began with {request.sent[:300]!r}"
        )


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    """One response, or the bytes before the end of the connection."""
    answer = b""
    while not whole(answer) and (chunk := await reader.read(65536)):
        answer += chunk
    return answer


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no memory")
