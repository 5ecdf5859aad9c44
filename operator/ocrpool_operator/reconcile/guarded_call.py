"""One call for one pool, and the pause after it was refused.

A call that the API server refuses is not made again in every round. It waits, each time longer
(`cluster/retry_backoff.py`), and the refusal is reported as a problem of the pool meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ocrpool.planner.observed import ObservedPool, PoolProblem
from ocrpool_operator.cluster.api_errors import PersistentError, persistent_problem
from ocrpool_operator.cluster.cache import Key
from ocrpool_operator.cluster.client import ApiError
from ocrpool_operator.cluster.retry_backoff import RetryBackoff

T = TypeVar("T")
EndsPause = Callable[[PoolProblem], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class CallResult(Generic[T]):
    """What the call returned, or the problem because of which it returned nothing."""

    value: T | None = None
    problem: PoolProblem | None = None


async def _never(problem: PoolProblem) -> bool:
    return False


class GuardedCalls:
    """Makes calls, and remembers which were refused. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._backoff = RetryBackoff(clock)

    async def attempt(
        self,
        pool: ObservedPool,
        name: str,
        call: Callable[[], Awaitable[T]],
        *,
        ends_pause: EndsPause = _never,
    ) -> CallResult[T]:
        """Make the call, unless it was refused and its pause is not over.

        `name` is the same each time that the same call is made. `ends_pause` is asked during a
        pause whether the problem is gone already. Raises ApiError if the API server is unavailable:
        that is no answer to this call, and does not count as a refusal.
        """
        pending = self._backoff.pending(pool, name)
        if pending is not None and not await ends_pause(pending):
            return CallResult(problem=pending)
        try:
            value = await call()
        except ApiError as error:
            problem = persistent_problem(error)
        except PersistentError as error:
            problem = error.problem
        else:
            self._backoff.clear(pool, name)
            return CallResult(value)
        self._backoff.record_refusal(pool, name, problem)
        return CallResult(problem=problem)

    def seconds_until_retry(self, pool: ObservedPool) -> float:
        """Seconds until the first pause of this pool is over; infinity if no call waits."""
        return self._backoff.next_retry(pool) - self._clock()

    def forget_pool(self, key: Key) -> None:
        """Forget every refusal of a pool that is gone."""
        self._backoff.drop_pool(key)
