"""Fetch a file that a request names by its URL, if `http.fetchUrls` allows it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from ocrpool.protocol.quantity import format_bytes
from ocrpool_worker.errors import BadRequest, TooLarge, Unavailable
from ocrpool_worker.http.allowed_addresses import is_allowed
from ocrpool_worker.http.request_bodies import RequestBodies
from ocrpool_worker.settings import AdmissionSettings, HttpSettings, Network

_MOST_REDIRECTS = 5
# One message for all causes, so that clients cannot explore the worker's network with URLs.
_UNREACHED = (
    "file: the URL cannot be fetched: nothing is there, it does not answer in time, or this worker "
    "may not connect to it (http.fetchNetworks); send the file as base64"
)


def is_url(text: str) -> bool:
    """Whether `file` of a request is a URL, by PaddleX's rule."""
    if not text.startswith(("http://", "https://")):
        return False
    try:
        return bool(urlsplit(text).netloc)
    except ValueError:
        return False


class UrlFetcher:
    """Fetches URLs with limits on size, time, concurrency and addresses. Call `close` at the
    end."""

    def __init__(
        self, limits: AdmissionSettings, http: HttpSettings, bodies: RequestBodies
    ) -> None:
        self._limits = limits
        self._networks: Sequence[Network] = http.fetch_networks
        self._turns = asyncio.Semaphore(http.max_fetches)
        self._bodies = bodies
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str) -> bytearray:
        """Fetch the bytes at `url`. The caller releases their number when the request is over.

        Raises BadRequest (422), TooLarge (413), QueueFull (429, `bodyMemory`), or Unavailable (503)
        if its turn did not come in time.
        """
        # The URL is not normalised, as in PaddleX: any change would break a signed URL.
        if any(character <= " " or character == "\x7f" for character in url):
            raise BadRequest("file: a URL has no blanks or control characters", field="file")
        data = bytearray()
        begun = False
        try:
            async with asyncio.timeout(self._limits.timeout_seconds), self._turns:
                begun = True
                await self._read(url, data)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            self._bodies.release(len(data))
            if not begun:
                raise Unavailable(
                    "too many URLs are being fetched (http.maxFetches), and the turn of this one "
                    "did not come in time; try again later",
                    retry_after=5,
                ) from None
            raise BadRequest(_UNREACHED, field="file") from None
        except BaseException:
            self._bodies.release(len(data))
            raise
        return data

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _read(self, url: str, data: bytearray) -> None:
        most = self._limits.max_body
        where = URL(url, encoded=True)
        async with self._connected().get(where, max_redirects=_MOST_REDIRECTS) as response:
            if response.status != 200:
                raise BadRequest(f"file: the URL answered {response.status}", field="file")
            async for chunk in response.content.iter_any():
                if len(data) + len(chunk) > most:
                    raise TooLarge(
                        f"file: the URL has more than {format_bytes(most)} (admission.maxBody)",
                        field="file",
                        limit=most,
                    )
                self._bodies.hold(len(chunk), part_of=len(data) + len(chunk))
                data += chunk

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    # Every connection passes this check, after name resolution and redirects.
                    socket_factory=self._socket_to,
                    limit=0,
                    force_close=True,
                    ttl_dns_cache=10,
                ),
                timeout=aiohttp.ClientTimeout(total=self._limits.timeout_seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _socket_to(self, found: aiohttp.AddrInfoType) -> socket.socket:
        """A socket for one resolved address. Raises OSError for an address that is not allowed."""
        family, kind, protocol, _, address = found
        if not is_allowed(str(address[0]), self._networks):
            raise OSError("not public")
        return socket.socket(family, kind, protocol)
