"""Remembers, for a while, the digests of requests that cost two instances."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from ocrpool_worker.ipc.mailbox import Buffer

REMEMBERED_SECONDS = 600.0
REMEMBERED_MOST = 1024


class Refusals:
    """Digests with an end date; the oldest goes when there are too many."""

    def __init__(self) -> None:
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def add(self, data: Buffer, now: float) -> None:
        """Refuse these bytes from now on."""
        digest = _digest(data)
        self._until[digest] = now + REMEMBERED_SECONDS
        self._until.move_to_end(digest)
        if len(self._until) > REMEMBERED_MOST:
            self._until.popitem(last=False)

    def remaining(self, data: Buffer, now: float) -> float:
        """Seconds for which these bytes are still refused; 0 when they are welcome.

        Costs nothing while nothing is remembered: no digest is made then.
        """
        while self._until:
            digest, until = next(iter(self._until.items()))
            if until > now:
                break
            del self._until[digest]
        if not self._until:
            return 0.0
        return max(0.0, self._until.get(_digest(data), 0.0) - now)


def _digest(data: Buffer) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
