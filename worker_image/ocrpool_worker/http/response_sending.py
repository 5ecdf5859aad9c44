"""Send responses, and close connections whose clients do not take them.

A large response is sent in pieces. Each is handed to the kernel as a whole before the next one is
touched, so that the response is never held twice. A client that takes nothing is disconnected,
because the memory of its response is missing for others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from aiohttp import web

from ocrpool_worker.ipc.shared_buffer import Buffer

PIECE = 64 * 1024
_CHECK_SECONDS = 1.0
_POLL_SECONDS = 0.05


class PendingResponses:
    """The connections of one port that have unsent bytes.

    `seconds`: the longest time that a client may take for a piece. `on_cut` is called for each
    connection that is closed because its client was slower.
    """

    def __init__(self, seconds: float, on_cut: Callable[[], None]) -> None:
        self._seconds = seconds
        self._on_cut = on_cut
        # Transport → when it was last given bytes to send.
        self._since: dict[asyncio.WriteTransport, float] = {}
        self._unfinished = 0
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, transport: asyncio.BaseTransport | None) -> None:
        """Record that bytes are about to be written to this transport."""
        if transport is None:
            return
        transport = cast("asyncio.WriteTransport", transport)
        # So that waiting for the transport is waiting for the last byte.
        transport.set_write_buffer_limits(0)
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._since[transport] = now
        if self._timer is None:
            self._timer = loop.call_later(_CHECK_SECONDS, self._cut_off_slow, now)

    async def wait_until_sent(self) -> None:
        """Wait until all responses have been handed to the kernel."""
        # Polled: a callback for an empty transport would make every response slower.
        while self._unfinished or any(map(_unsent, self._since)):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)

    def begin(self) -> None:
        """Record the start of a response in several pieces. `end` records its end."""
        self._unfinished += 1

    def end(self) -> None:
        self._unfinished -= 1

    def _cut_off_slow(self, armed: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        # If this process itself was stopped or starved, the clients were not slow.
        away = now - armed - _CHECK_SECONDS
        for transport, since in tuple(self._since.items()):
            if not _unsent(transport):
                del self._since[transport]
            elif away > _CHECK_SECONDS:
                self._since[transport] = since + away
            elif now - since > self._seconds:
                self._on_cut()
                transport.abort()
        self._timer = None
        if self._since:
            self._timer = loop.call_later(_CHECK_SECONDS, self._cut_off_slow, now)


class PiecewiseResponse(web.Response):
    """A response whose body is `parts`, in order. Each part is freed once it is sent."""

    def __init__(self, parts: Sequence[Buffer], content_type: str) -> None:
        self._size = sum(map(len, parts))
        headers = {"Content-Type": content_type, "Content-Length": str(self._size)}
        super().__init__(headers=headers)
        self._parts = list(parts)
        self._pending: PendingResponses | None = None
        self._transport: asyncio.Transport | None = None

    def track(self, pending: PendingResponses, request: web.BaseRequest) -> None:
        """Report the progress of sending to `pending`."""
        self._pending, self._transport = pending, request.transport

    async def write_eof(self, data: bytes = b"") -> None:
        try:
            if self._size <= PIECE or self._pending is None:
                # The usual case. The parts are freed only when the kernel has their bytes.
                await web.StreamResponse.write_eof(self, b"".join(self._parts))
            else:
                await self._write_pieces(self._pending)
        finally:
            self._parts.clear()

    async def _write_pieces(self, pending: PendingResponses) -> None:
        pending.begin()
        try:
            last: Buffer = b""
            for piece in self._pieces():
                if last:
                    await self.write(last)
                    pending.watch(self._transport)
                last = piece
            await web.StreamResponse.write_eof(self, cast("bytes", last))
        finally:
            pending.end()

    def _pieces(self) -> Iterator[Buffer]:
        """The body in pieces of up to PIECE."""
        self._parts.reverse()
        small = bytearray()
        while self._parts:
            part = self._parts.pop()
            if len(small) + len(part) > PIECE:
                yield bytes(small)
                small.clear()
            if len(part) <= PIECE:
                small += part
                continue
            view = memoryview(part)
            del part
            for at in range(0, len(view), PIECE):
                yield view[at : at + PIECE]
            del view
        yield bytes(small)


def _unsent(transport: asyncio.WriteTransport) -> bool:
    return not transport.is_closing() and transport.get_write_buffer_size() > 0
