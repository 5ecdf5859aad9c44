"""Remembers, for a while, the digests of requests that ended two instances by their own fault.

`failure_rules` decides when a request is one, `Supervisor.process` refuses it.

A request is its bytes and everything else that decides how they are read. The same file with other
parameters is another request, so no client can have another client's file refused.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict

from ocrpool_worker.ipc.shared_buffer import Buffer
from ocrpool_worker.supervisor.requests import RequestSpec

REMEMBERED_SECONDS = 600.0
REMEMBERED_MOST = 1024
# Larger bodies are digested in a thread: 128 MiB would block the event loop for long.
_DIGESTED_IN_LOOP = 1 << 20

# The size of the bytes, and the digest of the request.
RequestKey = tuple[int, bytes]


class PoisonCache:
    """Digests with an expiry time. When it is full, the oldest one goes."""

    def __init__(self) -> None:
        self._expires: OrderedDict[RequestKey, float] = OrderedDict()

    async def add(self, body: Buffer, spec: RequestSpec, now: float) -> str:
        """Refuse this request from now on. Returns its digest in hex, for the log."""
        key = await _key(body, spec)
        self._expires[key] = now + REMEMBERED_SECONDS
        self._expires.move_to_end(key)
        if len(self._expires) > REMEMBERED_MOST:
            self._expires.popitem(last=False)
        return key[1].hex()

    async def remaining(self, body: Buffer, spec: RequestSpec, now: float) -> float:
        """Seconds for which this request is still refused; 0 where it is not.

        Makes no digest while no request of the same size is remembered, so it usually costs
        nothing.
        """
        while self._expires:
            oldest, expires = next(iter(self._expires.items()))
            if expires > now:
                break
            del self._expires[oldest]
        if not any(size == len(body) for size, _ in self._expires):
            return 0.0
        return max(0.0, self._expires.get(await _key(body, spec), 0.0) - now)


async def _key(body: Buffer, spec: RequestSpec) -> RequestKey:
    size = len(body)
    if size <= _DIGESTED_IN_LOOP:
        return size, _digest(body, spec)
    return size, await asyncio.to_thread(_digest, body, spec)


def _digest(body: Buffer, spec: RequestSpec) -> bytes:
    digest = hashlib.blake2b(body, digest_size=16)
    rest = (spec.kind, spec.form, spec.pictures, spec.shape, dict(spec.params))
    digest.update(json.dumps(rest, sort_keys=True, default=repr).encode())
    return digest.digest()
