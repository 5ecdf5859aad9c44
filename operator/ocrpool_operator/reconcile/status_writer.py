"""Writes the status of pools: only if it changed, and shortened if the object is too large."""

from __future__ import annotations

from ocrpool.planner.observed import ObservedPool
from ocrpool.planner.size_limit import STATUS_BYTES, fit_status
from ocrpool.resource.status import PoolStatus
from ocrpool_operator.cluster.api_errors import is_too_large
from ocrpool_operator.cluster.cache import Key
from ocrpool_operator.cluster.client import ApiError
from ocrpool_operator.cluster.events import EventRecorder
from ocrpool_operator.reconcile.pool_object import PoolObjectWriter

# No status is shortened below this: its conditions alone need a part of it.
_MIN_BYTES = 4096


class StatusWriter:
    """Remembers for each pool how large a status the API server accepted."""

    def __init__(self, pool_object: PoolObjectWriter, events: EventRecorder) -> None:
        self._pool_object = pool_object
        self._events = events
        # By pool: the generation and the limit that was learnt for it. An edit of the spec may have
        # made the object smaller.
        self._limits: dict[Key, tuple[int, int]] = {}

    async def write(self, pool: ObservedPool, status: PoolStatus) -> None:
        """Write the status if it changed, and post an Event for each changed condition. Raises
        ApiError."""
        while True:
            generation, limit = self._limits.get(pool.key, (pool.generation, STATUS_BYTES))
            if generation != pool.generation:
                limit = STATUS_BYTES
            fitted = fit_status(status, limit)
            if fitted == pool.status:
                return
            try:
                await self._pool_object.write_status(pool, fitted)
            except ApiError as error:
                if not is_too_large(error) or limit // 2 < _MIN_BYTES:
                    raise
                self._limits[pool.key] = (pool.generation, limit // 2)
                await self._events.post(
                    pool, "StatusTooLarge", _too_large(error, limit // 2), warning=True
                )
                continue
            await self._events.post_transitions(pool, fitted)
            return

    def forget_pool(self, key: Key) -> None:
        """Forget the limit of a pool that is gone."""
        self._limits.pop(key, None)


def _too_large(error: ApiError, limit: int) -> str:
    return (
        f"the API server refuses the status because of its size ({error.message}); it is now "
        f"shortened to at most {limit} bytes. To see all of it, make several pools of this one"
    )
