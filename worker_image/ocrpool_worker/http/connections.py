"""The connections of one port: their number, and time-outs for headers and idle connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import StreamReader, web

# A header may carry a token or cookies.
_MOST_HEADER = 64 * 1024
_SWEEP_SECONDS = 1.0
# If a sweep is this late, the worker itself was stopped or starved: the clients were not slow.
_ABSENT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`most`: connections at once. `header_seconds`: time for a request's header, from the
    connection's opening or the header's first byte. `keep_alive_seconds`: between two requests.
    `even_busy`: at the limit, close the oldest connection even if it is handling a request."""

    most: int
    header_seconds: float
    keep_alive_seconds: float
    even_busy: bool = False


class Connection(web.RequestHandler):
    """One client's connection. It records since when it is idle (between two requests)."""

    __slots__ = ("_connections", "_last", "head_bytes", "head_since", "idle_since", "requests")

    def __init__(self, connections: Connections, server: web.Server, **kwargs: Any) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **kwargs)
        self._connections = connections
        # None while a request is handled: from its complete header to the end of its response.
        self.idle_since: float | None = None
        self.head_since: float | None = None
        self.head_bytes = 0
        self.requests = 0
        # The body of the last request. If that was refused, its body may still be arriving.
        self._last: StreamReader | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.on_idle(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        waits = self.idle_since is not None
        if waits and data and (self._last is None or self._last.is_eof()):
            if self.head_since is None:
                self.head_since = self._loop.time()
            self.head_bytes += len(data)
        super().data_received(data)
        if waits and self._messages:
            self._connections.on_request(self)
        elif waits and self.head_bytes > _MOST_HEADER:
            self.refuse(431, "HeaderTooLarge", f"the header has over {_MOST_HEADER} bytes")

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        found = await super().finish_response(request, resp, start_time)
        self._last = request.content
        # If the next request is there already, the connection is not idle.
        if self.transport is not None and not self._messages:
            self._connections.on_idle(self)
        return found

    def postpone(self, seconds: float, now: float) -> None:
        """Move the start of the waiting forward by `seconds`, in which the worker was absent."""
        if self.idle_since is not None:
            self.idle_since = min(now, self.idle_since + seconds)
        if self.head_since is not None:
            self.head_since = min(now, self.head_since + seconds)

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        # It is not an error if a client disconnects during a request.
        if self.transport is not None:
            super().log_exception(*args, **kwargs)

    @property
    def flushed(self) -> bool:
        """Whether all response bytes have been handed to the kernel."""
        return self.transport is None or not self.transport.get_write_buffer_size()

    def refuse(self, status: int, reason: str, message: str) -> None:
        """Send an error response and close the connection."""
        transport = self.transport
        if transport is not None:
            transport.write(refusal(status, reason, message))
            self._loop.call_later(_SWEEP_SECONDS, transport.abort)
        self.force_close()

    def drop(self) -> None:
        """Close the connection. Bytes that the client does not take at once are lost."""
        transport = self.transport
        self.force_close()
        if transport is not None and transport.get_write_buffer_size():
            transport.abort()


class Connections:
    """All connections of a port. Lives from `start` to `stop`."""

    def __init__(self, limits: ConnectionLimits, *, clock: Callable[[], float]) -> None:
        """`clock`: the event loop's."""
        self._limits = limits
        self._clock = clock
        # Both in order of insertion.
        self._all: dict[Connection, None] = {}
        self._waiting: dict[Connection, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._swept_at = 0.0

    def start(self) -> None:
        """Start to look for connections that exceed a time-out."""
        self._swept_at = self._clock()
        self._schedule()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def __len__(self) -> int:
        return len(self._all)

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return len(self._all) >= self._limits.most

    def make_room(self) -> bool:
        """Whether one more connection may be added. At the limit, close the one that has been idle
        for longest."""
        if not self.full:
            return True
        victim = next((each for each in self._waiting if each.flushed), None)
        if victim is None and self._limits.even_busy:
            victim = next((each for each in self._all if each.transport is not None), None)
        if victim is None:
            return False
        self.remove(victim)
        victim.drop()
        return True

    def add(self, connection: Connection) -> None:
        self._all[connection] = None

    def on_idle(self, connection: Connection) -> None:
        """Record that the connection is idle from now on."""
        if connection in self._all:
            self._waiting.pop(connection, None)
            self._waiting[connection] = None
            connection.idle_since = self._clock()

    def on_request(self, connection: Connection) -> None:
        """Record that the header of a request has arrived."""
        self._waiting.pop(connection, None)
        connection.idle_since = connection.head_since = None
        connection.head_bytes = 0
        connection.requests += 1

    def remove(self, connection: Connection) -> None:
        self._all.pop(connection, None)
        self._waiting.pop(connection, None)

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        now = self._clock()
        gap = now - self._swept_at
        self._swept_at = now
        self._schedule()
        if gap > _SWEEP_SECONDS + _ABSENT_SECONDS:
            # Bytes that arrived in the meantime have not been read yet.
            for each in self._waiting:
                each.postpone(gap, now)
        for each in tuple(self._waiting):
            self._check(each, now)

    def _check(self, each: Connection, now: float) -> None:
        limits = self._limits
        since = each.idle_since if each.head_since is None else each.head_since
        if since is None:
            return
        begun = each.head_since is not None
        seconds = limits.keep_alive_seconds
        if begun or not each.requests:
            seconds = limits.header_seconds
        if now - since <= seconds:
            return
        self.remove(each)
        if begun:
            message = f"the header did not arrive within {seconds:g} s (http.headerSeconds)"
            each.refuse(408, "SlowHeader", message)
        else:
            each.drop()


_PHRASES = {
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


def refusal(status: int, reason: str, message: str) -> bytes:
    """A complete response, as bytes, for a connection whose request is not read."""
    body = json.dumps({"error": {"status": status, "reason": reason, "message": message}}).encode()
    retry = "Retry-After: 1\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{retry}Connection: close\r\n\r\n"
    )
    return head.encode() + body
