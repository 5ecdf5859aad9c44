"""Remembers, for a while, the digests of requests that cost two instances by a fault of their own.

A request is its bytes and all else that decides what is done with them: the same file with other
parameters is another request, so nobody can have somebody else's file refused.
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
# More bytes than this are digested in a thread: a loop must not stand for 128 MiB.
_AT_ONCE = 1 << 20

# The size of the bytes, and the digest of the whole.
Key = tuple[int, bytes]


class PoisonCache:
    """Digests with an end date; the oldest goes when there are too many."""

    def __init__(self) -> None:
        self._until: OrderedDict[Key, float] = OrderedDict()

    async def add(self, data: Buffer, order: RequestSpec, now: float) -> str:
        """Refuse this request from now on. Returns its digest in hex, for the log."""
        key = await _key(data, order)
        self._until[key] = now + REMEMBERED_SECONDS
        self._until.move_to_end(key)
        if len(self._until) > REMEMBERED_MOST:
            self._until.popitem(last=False)
        return key[1].hex()

    async def remaining(self, data: Buffer, order: RequestSpec, now: float) -> float:
        """Seconds for which this request is still refused; 0 when it is welcome.

        Costs nothing while nothing as large is remembered: no digest is made then.
        """
        while self._until:
            oldest, until = next(iter(self._until.items()))
            if until > now:
                break
            del self._until[oldest]
        if not any(size == len(data) for size, _ in self._until):
            return 0.0
        return max(0.0, self._until.get(await _key(data, order), 0.0) - now)


async def _key(data: Buffer, order: RequestSpec) -> Key:
    size = len(data)
    if size <= _AT_ONCE:
        return size, _digest(data, order)
    return size, await asyncio.to_thread(_digest, data, order)


def _digest(data: Buffer, order: RequestSpec) -> bytes:
    whole = hashlib.blake2b(data, digest_size=16)
    asked = (order.kind, order.form, order.pictures, order.shape, dict(order.params))
    whole.update(json.dumps(asked, sort_keys=True, default=repr).encode())
    return whole.digest()
