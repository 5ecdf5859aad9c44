"""Read request bodies within the limits of memory (`admission.bodyMemory`), size and rate."""

from __future__ import annotations

import asyncio

from aiohttp import StreamReader, web

from ocrpool.protocol.quantity import format_bytes
from ocrpool_worker.errors import QueueFull, RequestError, TooLarge
from ocrpool_worker.http import clients
from ocrpool_worker.settings import AdmissionSettings

# A page of text is smaller than this. Some memory is kept for small bodies, so that large documents
# cannot block single pages.
_SMALL = 2**20
# The rate of a body is measured over windows of this length.
_PACE_SECONDS = 5.0
# If a timer fires this much too late, the worker itself was stopped or starved of CPU time.
_ABSENT_SECONDS = 1.0


class SlowBody(RequestError):
    """The body did not arrive in time."""

    status, reason = 408, "SlowBody"


class UnsupportedEncoding(RequestError):
    """The body is compressed or multipart. It must be the file itself."""

    status, reason = 415, "UnsupportedEncoding"


class RequestBodies:
    """Counts the bytes of all bodies that are held at once, in total and for each client."""

    def __init__(self, limits: AdmissionSettings) -> None:
        self._limits = limits
        whole = limits.body_memory
        self._small = min(_SMALL, whole // 8)
        # A body of base64 is held together with the file that is decoded from it.
        largest = min(whole, limits.max_body * 7 // 4)
        self._most_large = max(whole - whole // 8, largest)
        self._share = max(int(whole * limits.client_share), largest)
        self.held = 0
        self._of_client: dict[str, int] = {}

    async def read_body(self, request: web.Request) -> bytearray:
        """Read the whole body. The caller releases its size when the request is over.

        Raises TooLarge (413), QueueFull (429, `bodyMemory`), SlowBody (408) and
        UnsupportedEncoding (415).
        """
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            # This also keeps decompression bombs out. Images gain nothing from compression.
            raise UnsupportedEncoding(f"Content-Encoding {encoding}: send the body uncompressed")
        declared = request.content_length
        if declared is not None and declared > self._limits.max_body:
            raise self._too_large(declared)
        body = bytearray()
        try:
            await self._receive(request.content, body, declared or 0)
        except BaseException:
            self.release(len(body))
            raise
        return body

    def hold(self, size: int, *, part_of: int = 0) -> None:
        """Count `size` more bytes for the client of this request, until `release`.

        `part_of`: the size so far of the object that they belong to. Raises QueueFull, and counts
        nothing, if they do not fit.
        """
        self._hold(size, large=max(size, part_of) > self._small)

    def release(self, size: int) -> None:
        """Stop counting `size` bytes. Call it in the task of the request that held them."""
        client = clients.current()
        self.held -= size
        left = self._of_client.get(client, 0) - size
        if left > 0:
            self._of_client[client] = left
        else:
            self._of_client.pop(client, None)

    async def _receive(self, content: StreamReader, body: bytearray, declared: int) -> None:
        """Append the stream to `body` and hold its bytes. `declared`: its size, 0 if unknown."""
        loop = asyncio.get_running_loop()
        pace = _Pace(self._limits, loop.time())
        while not content.at_eof():
            # Most bodies arrive together with their header, and need no timer.
            chunk = content.read_nowait() or await self._next(content, pace, loop)
            size = len(body) + len(chunk)
            if size > self._limits.max_body:
                raise self._too_large(size)
            self._hold(len(chunk), large=max(size, declared) > self._small)
            body += chunk
            pace.arrived(len(chunk), loop.time())

    async def _next(
        self, content: StreamReader, pace: _Pace, loop: asyncio.AbstractEventLoop
    ) -> bytes:
        while True:
            due = pace.due
            try:
                async with asyncio.timeout_at(due):
                    return await content.readany()
            except TimeoutError:
                if loop.time() < due + _ABSENT_SECONDS:
                    raise SlowBody(pace.message()) from None
                # The worker itself was stopped or starved. First read what has arrived meanwhile.
                pace.extend(loop.time())

    def _hold(self, size: int, *, large: bool) -> None:
        whole = self._limits.body_memory
        now = self.held + size
        limit = self._most_large if large else whole
        if now > limit:
            kept = f", of which an eighth is kept for bodies of up to {format_bytes(self._small)}"
            raise QueueFull(
                f"the bodies of all requests hold {format_bytes(self.held)}, the limit is "
                f"{format_bytes(whole)} (admission.bodyMemory){kept if large else ''}; try again "
                "later, or add workers",
                limit=whole,
                retry_after=1,
            )
        client = clients.current()
        mine = self._of_client.get(client, 0) + size
        if mine > self._share:
            raise QueueFull(
                f"the bodies from your address would hold {format_bytes(mine)}, its share is "
                f"{format_bytes(self._share)} (admission.clientShare of admission.bodyMemory); "
                "send fewer requests at the same time",
                limit=self._share,
                retry_after=1,
            )
        self.held = now
        self._of_client[client] = mine

    def _too_large(self, size: int) -> TooLarge:
        limit = self._limits.max_body
        return TooLarge(
            f"the body has {format_bytes(size)} or more, the limit is {format_bytes(limit)} "
            "(admission.maxBody); send a smaller file or raise the limit",
            field="body",
            limit=limit,
        )


class _Pace:
    """Decides until when the next bytes of one body must arrive (`due`)."""

    def __init__(self, limits: AdmissionSettings, now: float) -> None:
        self._limits = limits
        self._end = now + limits.timeout_seconds
        self._least = int(limits.min_body_rate * _PACE_SECONDS)
        self._got = 0
        self._window = now + _PACE_SECONDS

    @property
    def due(self) -> float:
        return min(self._end, self._window) if self._least else self._end

    def arrived(self, size: int, now: float) -> None:
        self._got += size
        if self._got >= self._least:
            self._got, self._window = 0, now + _PACE_SECONDS

    def extend(self, now: float) -> None:
        self._window = now + _PACE_SECONDS
        self._end = max(self._end, self._window)

    def message(self) -> str:
        if self.due == self._end:
            limit = f"{self._limits.timeout_seconds:g} s (admission.timeoutSeconds)"
            return f"the body did not arrive within {limit}"
        return (
            f"{self._got} bytes of the body arrived in {_PACE_SECONDS:g} s, the minimum is "
            f"{format_bytes(self._limits.min_body_rate)} a second (admission.minBodyRate); send "
            "the body faster, or lower the limit"
        )
