"""Sends answers, and sees to it that they are taken.

A response goes out in pieces that are each handed to the kernel as a whole before the next one is
touched, so that an answer is never held twice. A client that takes nothing is cut off: what it
leaves lying is memory of all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from aiohttp import web

from ocrpool_worker.ipc.mailbox import Buffer

PIECE = 256 * 1024
_LOOK_SECONDS = 1.0


class Pieces(web.StreamResponse):
    """A response whose body is `parts`, one after the other; each is let go of once sent."""

    def __init__(self, parts: Sequence[Buffer], content_type: str) -> None:
        super().__init__(headers={"Content-Type": content_type})
        self.content_length = sum(map(len, parts))
        self._parts = list(reversed(parts))

    def pieces(self) -> Iterator[Buffer]:
        """The body in pieces of up to PIECE, once."""
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
        yield small


class _Sent:
    """A response on its way, and since when its present piece is."""

    __slots__ = ("since", "transport")

    def __init__(self, transport: asyncio.WriteTransport, since: float) -> None:
        self.transport = transport
        self.since = since


class Sender:
    """Sends the responses of one port. `seconds`: how long a client may take for a piece; `on_cut`
    is called for one that was slower."""

    def __init__(self, seconds: float, on_cut: Callable[[], None]) -> None:
        self._seconds = seconds
        self._on_cut = on_cut
        self._open: set[_Sent] = set()
        self._look: asyncio.TimerHandle | None = None

    async def send(self, request: web.Request, response: web.StreamResponse) -> None:
        """Send all of it; back when the kernel has it, or the client has gone."""
        transport = request.transport
        if transport is None:
            return
        loop = asyncio.get_running_loop()
        # So that waiting for the transport is waiting for the last byte.
        transport.set_write_buffer_limits(0)
        sent = _Sent(transport, loop.time())
        self._open.add(sent)
        if self._look is None:
            self._look = loop.call_later(_LOOK_SECONDS, self._look_round, loop.time())
        try:
            await response.prepare(request)
            if isinstance(response, Pieces):
                last: Buffer = b""
                for piece in response.pieces():
                    if last:
                        await response.write(last)
                        sent.since = loop.time()
                    last = piece
                await response.write_eof(cast("bytes", last))  # this one waits in any case
            else:
                await response.write_eof()
        except ConnectionError:
            pass  # aiohttp sees for itself that it has gone
        finally:
            self._open.discard(sent)

    def _look_round(self, armed: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        # Where this process itself was away, clients have had no chance to be seen taking.
        away = now - armed - _LOOK_SECONDS
        for sent in self._open:
            if away > _LOOK_SECONDS:
                sent.since += away
            if now - sent.since > self._seconds and sent.transport.get_write_buffer_size():
                self._on_cut()
                sent.transport.abort()
        self._look = None
        if self._open:
            self._look = loop.call_later(_LOOK_SECONDS, self._look_round, now)
