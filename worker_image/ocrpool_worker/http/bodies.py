"""Reads request bodies, never more than the limits leave room for."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ocrpool_wire.quantity import format_bytes
from ocrpool_worker.errors import QueueFull, RequestError, TooLarge
from ocrpool_worker.settings import AdmissionSettings


class SlowBody(RequestError):
    """The body did not arrive in time."""

    status, reason = 408, "SlowBody"


class UnsupportedEncoding(RequestError):
    """The body is compressed or in parts, where it should be the bytes themselves."""

    status, reason = 415, "UnsupportedEncoding"


class Bodies:
    """All bodies that are held at once, counted in bytes as they arrive."""

    def __init__(self, limits: AdmissionSettings) -> None:
        self._limits = limits
        self.held = 0

    async def read(self, request: web.Request) -> bytearray:
        """The whole body; `release` its size when the request is over.

        Raises TooLarge (413), QueueFull (429, `bodyMemory`), SlowBody (408) and
        UnsupportedEncoding (415).
        """
        limits = self._limits
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            # Also keeps decompression bombs out; images do not gain by it.
            raise UnsupportedEncoding(f"Content-Encoding {encoding}: send the body uncompressed")
        declared = request.content_length
        if declared is not None and declared > limits.max_body:
            raise self._too_large(declared)
        body = bytearray()
        try:
            async with asyncio.timeout(limits.timeout_seconds):
                async for chunk in request.content.iter_any():
                    body += chunk
                    self.held += len(chunk)
                    if len(body) > limits.max_body:
                        raise self._too_large(len(body))
                    if self.held > limits.body_memory:
                        raise QueueFull(
                            f"the bodies of all requests hold {format_bytes(self.held)}, the limit "
                            f"is {format_bytes(limits.body_memory)} (admission.bodyMemory)",
                            limit=limits.body_memory,
                            retry_after=1,
                        )
        except TimeoutError:
            self.release(len(body))
            raise SlowBody(
                f"the body did not arrive within {limits.timeout_seconds:g} s "
                "(admission.timeoutSeconds)"
            ) from None
        except BaseException:
            self.release(len(body))
            raise
        return body

    def hold(self, size: int) -> None:
        """Count memory that a request takes beyond its body; `release` it like that. Raises
        QueueFull."""
        if self.held + size > self._limits.body_memory:
            raise QueueFull(
                f"the bodies of all requests would hold {format_bytes(self.held + size)}, the "
                f"limit is {format_bytes(self._limits.body_memory)} (admission.bodyMemory)",
                limit=self._limits.body_memory,
                retry_after=1,
            )
        self.held += size

    def release(self, size: int) -> None:
        self.held -= size

    def _too_large(self, size: int) -> TooLarge:
        limit = self._limits.max_body
        return TooLarge(
            f"the body has {format_bytes(size)} or more, the limit is {format_bytes(limit)} "
            "(admission.maxBody); send a smaller file or raise the limit",
            field="body",
            limit=limit,
        )
