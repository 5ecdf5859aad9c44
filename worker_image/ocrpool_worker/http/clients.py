"""Identify the client of a request. Shares of memory are counted for each client.

A client is the peer's address. Behind a proxy that knows the secret of `http.proxySecretFile`, it
is the address that the proxy sends. The same header from anybody else is ignored.
"""

from __future__ import annotations

import contextvars
import functools
import hmac
import ipaddress
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

# The value is `ADDRESS SECRET`. A proxy must replace this header if a client sent it.
HEADER = "X-Ocrpool-Client"
# The file is read again after this time, because a mounted Secret can change while the worker runs.
_FRESH_SECONDS = 10.0

_current: contextvars.ContextVar[str] = contextvars.ContextVar("ocrpool_client", default="")


def current() -> str:
    """The client of the request that this task handles; empty outside a request."""
    return _current.get()


@functools.lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """The addresses that belong to one client: an IPv4 address, or the /64 of an IPv6 address.

    Raises ValueError for anything else.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
    return str(found)


class Clients:
    """Finds the client of a request. `secret_file`: `http.proxySecretFile`."""

    def __init__(
        self, secret_file: Path | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._file = secret_file
        self._clock = clock
        self._secret = ""
        self._stale_at = float("-inf")

    def identify(self, remote: str | None, header: str | None) -> str:
        """The client of a request from the peer `remote`. `header`: the value of HEADER, if
        sent."""
        if header is not None and self._file is not None:
            address, _, secret = header.strip().partition(" ")
            known = self._known()
            if known and hmac.compare_digest(
                secret.encode("utf-8", "surrogateescape"), known.encode()
            ):
                remote = address
        try:
            return network_of(remote or "")
        except ValueError:
            return remote or ""

    def middleware(self) -> Middleware:
        """A middleware that records the client of every request for `current`."""

        @web.middleware
        async def middleware(
            request: web.Request,
            handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
        ) -> web.StreamResponse:
            _current.set(self.identify(request.remote, request.headers.get(HEADER)))
            return await handler(request)

        return middleware

    def _known(self) -> str:
        now = self._clock()
        if self._file is not None and now >= self._stale_at:
            try:
                self._secret = self._file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                self._secret = ""  # no header is accepted then
            self._stale_at = now + _FRESH_SECONDS
        return self._secret
