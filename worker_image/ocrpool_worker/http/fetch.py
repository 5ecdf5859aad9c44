"""Fetches a file that a request names by its URL; only where `http.fetchUrls` allows it."""

from __future__ import annotations

from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from ocrpool_wire.quantity import format_bytes
from ocrpool_worker.errors import BadRequest, TooLarge
from ocrpool_worker.settings import AdmissionSettings


def is_url(text: str) -> bool:
    """Whether `file` of a request is a URL, as PaddleX decides it."""
    if not text.startswith(("http://", "https://")):
        return False
    try:
        return bool(urlsplit(text).netloc)
    except ValueError:
        return False


class Fetcher:
    """Bounded in size and time by the admission's limits."""

    def __init__(self, limits: AdmissionSettings) -> None:
        self._limits = limits
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, url: str) -> bytes:
        """The bytes at `url`. Raises BadRequest (422) or TooLarge (413)."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._limits.timeout_seconds)
            self._session = aiohttp.ClientSession(
                timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        # Taken as it is, as PaddleX does: a signed URL is only good to the letter.
        if any(character <= " " or character == "\x7f" for character in url):
            raise BadRequest("file: a URL has no blanks or control characters", field="file")
        most = self._limits.max_body
        data = bytearray()
        try:
            async with self._session.get(URL(url, encoded=True)) as response:
                if response.status != 200:
                    raise BadRequest(f"file: the URL answered {response.status}", field="file")
                async for chunk in response.content.iter_any():
                    data += chunk
                    if len(data) > most:
                        raise TooLarge(
                            f"file: the URL has more than {format_bytes(most)} (admission.maxBody)",
                            field="file",
                            limit=most,
                        )
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise BadRequest(f"file: the URL cannot be fetched: {reason}", field="file") from None
        return bytes(data)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
