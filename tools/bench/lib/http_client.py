"""A small HTTP/1.1 client for exact checks of answers; a request is one whole byte string.

It keeps a connection as long as the server does, and reports what no ordinary client shows: bytes
after an answer, and a connection that ended before its first byte.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

_CHUNK_BYTES = 1 << 18

Address = tuple[str, int]


class NoAnswerError(ConnectionError):
    """The connection ended before the first byte of an answer."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """`extra`: bytes that came after the end of the body."""

    status: int
    body: bytes
    closes: bool
    extra: bytes = b""


class Connection:
    """An HTTP/1.1 connection. It opens with a request, and stays open as long as the server keeps
    it. `source`: the address of the client's own end."""

    def __init__(self, address: Address, *, source: str | None = None) -> None:
        self.address = address
        self._source = None if source is None else (source, 0)
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def opened(self) -> bool:
        """Whether it was opened, and not closed by this side."""
        return self._stream is not None

    @property
    def is_open(self) -> bool:
        """Whether it was opened, and the server has not closed it so far."""
        return self._stream is not None and not self._stream[0].at_eof()

    async def exchange(self, request: bytes) -> HttpAnswer:
        """Send one whole request and return its answer. Raises OSError, which NoAnswerError is."""
        if self._stream is None:
            self._stream = await asyncio.open_connection(
                *self.address, limit=_CHUNK_BYTES, local_addr=self._source
            )
        reader, writer = self._stream
        try:
            # The server may answer and close the connection before it has read the whole request.
            with contextlib.suppress(ConnectionError):
                writer.write(request)
                await writer.drain()
            answer = await _read_answer(reader)
        except BaseException:
            self.close()
            raise
        if answer.closes:
            self.close()
        return answer

    async def unsolicited(self, seconds: float) -> bytes:
        """What comes within this time although nothing was asked."""
        if self._stream is not None:
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(seconds):
                    return await self._stream[0].read(_CHUNK_BYTES)
        return b""

    def close(self) -> None:
        if self._stream is not None:
            self._stream[1].close()
            self._stream = None


async def _read_answer(reader: asyncio.StreamReader) -> HttpAnswer:
    received = bytearray()
    body_at = size = -1
    while body_at < 0 or len(received) < body_at + size:
        chunk = b""
        with contextlib.suppress(ConnectionError):
            chunk = await reader.read(_CHUNK_BYTES)
        if not chunk and not received:
            raise NoAnswerError("the connection ended before an answer")
        if not chunk:
            raise ConnectionError(f"the connection ended after {bytes(received[:200])!r}")
        received += chunk
        if body_at < 0 and (end := received.find(b"\r\n\r\n")) >= 0:
            body_at, size = end + 4, _content_length(bytes(received[:end]))
    head = bytes(received[:body_at]).lower()
    return HttpAnswer(
        status=int(head.split(b" ", 2)[1]),
        body=bytes(received[body_at : body_at + size]),
        closes=b"\r\nconnection: close" in head,
        extra=bytes(received[body_at + size :]),
    )


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ConnectionError(f"an answer without Content-Length: {head[:200]!r}")
