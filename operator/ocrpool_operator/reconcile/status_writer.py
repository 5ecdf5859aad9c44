"""Writes the status of pools: what is new, and in less where the object has grown too large."""

from __future__ import annotations

from ocrpool.planner.observed import ObservedPool
from ocrpool.planner.size_limit import STATUS_BYTES, fit_status
from ocrpool.resource.status import PoolStatus
from ocrpool_operator.cluster.api_errors import is_too_large
from ocrpool_operator.cluster.cache import Key
from ocrpool_operator.cluster.client import ApiError
from ocrpool_operator.cluster.events import EventRecorder
from ocrpool_operator.reconcile.pool_object import PoolObjectWriter

# Not worth trying in less: the conditions alone take a part of it.
_LEAST_BYTES = 4096


class StatusWriter:
    """Remembers for each pool how large a status the API server took."""

    def __init__(self, ownership: PoolObjectWriter, events: EventRecorder) -> None:
        self._ownership = ownership
        self._events = events
        # By pool, with the generation for which it was learnt: an edit may have made room.
        self._most: dict[Key, tuple[int, int]] = {}

    async def write(self, pool: ObservedPool, status: PoolStatus) -> None:
        """Write what differs from what is there, and tell what has turned. Raises ApiError."""
        while True:
            generation, most = self._most.get(pool.key, (pool.generation, STATUS_BYTES))
            if generation != pool.generation:
                most = STATUS_BYTES
            fit = fit_status(status, most)
            if fit == pool.status:
                return
            try:
                await self._ownership.write_status(pool, fit)
            except ApiError as error:
                if not is_too_large(error) or most // 2 < _LEAST_BYTES:
                    raise
                self._most[pool.key] = (pool.generation, most // 2)
                text = (
                    f"the API server refuses the status for its size ({error.message}); it is told "
                    f"in at most {most // 2} bytes: make several pools of this one to see all of it"
                )
                await self._events.post(pool, "StatusTooLarge", text, warning=True)
                continue
            await self._events.post_transitions(pool, fit)
            return

    def forget(self, key: Key) -> None:
        """The pool is gone."""
        self._most.pop(key, None)
