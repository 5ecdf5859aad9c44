"""Listen on a port, and accept connections up to its limit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Callable

from ocrpool.json_logs import RateLimit
from ocrpool_worker.http.connections import Connection, Connections, refusal

_log = logging.getLogger(__name__)
_log.addFilter(RateLimit())
_BACKLOG = 1024
# Connections that are accepted before the event loop handles other events.
_AT_ONCE = 16
# Wait this long when the kernel has no descriptor or memory for one more connection.
_PAUSE_SECONDS = 0.5
# Time for the client to read a refusal. A socket that is closed at once can discard it.
_REFUSED_SECONDS = 1.0


async def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of `host`. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE, proto=socket.IPPROTO_TCP
    )
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            sock = socket.create_server(
                (str(address[0]), int(address[1])), family=family, backlog=_BACKLOG
            )
            sock.setblocking(False)
            sockets.append(sock)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


class Listener:
    """Accepts connections from `start` to `stop`."""

    def __init__(
        self,
        sockets: list[socket.socket],
        connections: Connections,
        make: Callable[[], Connection],
        *,
        setting: str,
        most_refused: int,
    ) -> None:
        """`make` creates the protocol of a new connection. `setting`: the name of the limit, for
        the refusal. `most_refused`: descriptors for connections that are being refused."""
        self._sockets = sockets
        self._connections = connections
        self._make = make
        message = f"too many connections ({setting}); try again later, or add workers"
        self._refusal = refusal(503, "Unavailable", message)
        self._setting = setting
        self._most_refused = most_refused
        self._refused: deque[socket.socket] = deque()
        self._arriving: set[asyncio.Task[object]] = set()
        self._stopped = False

    def start(self) -> None:
        self._connections.start()
        for sock in self._sockets:
            self._listen(sock)

    def stop(self) -> None:
        self._stopped = True
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock.fileno())
            sock.close()
        while self._refused:
            self._refused.popleft().close()
        self._connections.stop()

    def _listen(self, sock: socket.socket) -> None:
        if not self._stopped:
            asyncio.get_running_loop().add_reader(sock.fileno(), self._accept, sock)

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            if self._connections.full and self._arriving:
                return  # one of those can be closed as soon as it is set up
            try:
                arrived, _ = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(sock, error)
                return
            arrived.setblocking(False)
            if self._connections.make_room():
                self._take(arrived)
            else:
                self._refuse(arrived)

    def _take(self, arrived: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        connection = self._make()
        self._connections.add(connection)
        task: asyncio.Task[object] = loop.create_task(
            loop.connect_accepted_socket(lambda: connection, arrived)
        )
        self._arriving.add(task)

        def done(task: asyncio.Task[object]) -> None:
            self._arriving.discard(task)
            if task.cancelled() or task.exception() is not None:
                self._connections.remove(connection)
                arrived.close()

        task.add_done_callback(done)

    def _refuse(self, arrived: socket.socket) -> None:
        _log.warning(
            "connections refused", extra={"limit": len(self._connections), "setting": self._setting}
        )
        with contextlib.suppress(OSError):
            arrived.send(self._refusal)
            arrived.shutdown(socket.SHUT_WR)
        self._refused.append(arrived)
        if len(self._refused) > self._most_refused:
            self._refused.popleft().close()
        asyncio.get_running_loop().call_later(_REFUSED_SECONDS, self._close_refused, arrived)

    def _close_refused(self, refused: socket.socket) -> None:
        with contextlib.suppress(ValueError):  # closed before, to free a descriptor
            self._refused.remove(refused)
        refused.close()

    def _pause(self, sock: socket.socket, error: OSError) -> None:
        _log.warning(
            "connections cannot be accepted",
            extra={"error": error.strerror, "open": len(self._connections)},
        )
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock.fileno())
        loop.call_later(_PAUSE_SECONDS, self._listen, sock)
