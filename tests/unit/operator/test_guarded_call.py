"""A refused call waits for its pause; an unavailable API server is no refusal."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest

from ocrpool.planner.observed import PoolProblem
from ocrpool_operator.cluster.api_errors import PersistentError
from ocrpool_operator.cluster.client import PODS, ApiCall, ApiError
from ocrpool_operator.cluster.retry_backoff import PAUSE_FIRST
from ocrpool_operator.reconcile.guarded_call import CallResult, GuardedCalls
from tests.unit.planner.pools import a_pool

pytestmark = pytest.mark.asyncio

POOL = a_pool()
TAKEN = PoolProblem("NameTaken", "Pod pages-0 has no owner")


def refused(status: int = 403) -> ApiError:
    return ApiError(ApiCall("create", PODS, "default", "pages-0"), status, "Forbidden", "no right")


@dataclass
class FakeCall:
    """A call that raises `error`, or returns how often it was made."""

    error: Exception | None = None
    made: int = 0

    async def __call__(self) -> int:
        self.made += 1
        if self.error is not None:
            raise self.error
        return self.made


@dataclass
class Setup:
    """Guarded calls with a clock that a test sets."""

    now: float = 1000.0
    call: FakeCall = field(default_factory=FakeCall)

    def __post_init__(self) -> None:
        self.guarded = GuardedCalls(lambda: self.now)

    async def attempt(self, *, problem_gone: bool = False) -> CallResult[int]:
        async def ends_pause(problem: PoolProblem) -> bool:
            return problem_gone and problem == TAKEN

        return await self.guarded.attempt(POOL, "create", self.call, ends_pause=ends_pause)


async def test_a_call_that_succeeds_returns_its_value_and_is_made_every_time() -> None:
    setup = Setup()
    assert await setup.attempt() == CallResult(1)
    assert await setup.attempt() == CallResult(2)
    assert setup.guarded.seconds_until_retry(POOL) == math.inf


async def test_a_refused_call_is_not_made_again_before_its_pause_is_over() -> None:
    setup = Setup(call=FakeCall(refused()))
    first = await setup.attempt()
    setup.now += PAUSE_FIRST - 0.1
    second = await setup.attempt()

    assert first.problem is not None
    assert first.problem.reason == "Forbidden"
    assert second == first
    assert setup.call.made == 1
    assert setup.guarded.seconds_until_retry(POOL) == pytest.approx(0.1)

    setup.now += 0.1
    await setup.attempt()
    assert setup.call.made == 2
    assert setup.guarded.seconds_until_retry(POOL) == 2 * PAUSE_FIRST


async def test_success_ends_the_pauses_and_the_next_refusal_starts_with_the_first_pause() -> None:
    setup = Setup(call=FakeCall(refused()))
    await setup.attempt()
    setup.now += PAUSE_FIRST
    setup.call.error = None
    assert (await setup.attempt()).problem is None
    assert setup.guarded.seconds_until_retry(POOL) == math.inf
    setup.call.error = refused()
    await setup.attempt()
    assert setup.guarded.seconds_until_retry(POOL) == PAUSE_FIRST


@pytest.mark.parametrize("status", [0, 401, 408, 429, 500, 503])
async def test_an_unavailable_api_server_is_raised_and_starts_no_pause(status: int) -> None:
    setup = Setup(call=FakeCall(refused(status)))
    for _ in range(2):
        with pytest.raises(ApiError):
            await setup.attempt()
    assert setup.call.made == 2
    assert setup.guarded.seconds_until_retry(POOL) == math.inf


async def test_a_pause_ends_early_if_the_problem_is_gone() -> None:
    setup = Setup(call=FakeCall(PersistentError(TAKEN)))
    assert (await setup.attempt()).problem == TAKEN
    assert (await setup.attempt(problem_gone=False)).problem == TAKEN
    assert setup.call.made == 1
    setup.call.error = None
    assert await setup.attempt(problem_gone=True) == CallResult(2)


async def test_another_call_and_a_pool_that_is_gone_have_no_pause() -> None:
    setup = Setup(call=FakeCall(refused()))
    await setup.attempt()
    other = FakeCall()
    assert await setup.guarded.attempt(POOL, "delete", other) == CallResult(1)
    setup.guarded.forget_pool(POOL.key)
    await setup.attempt()
    assert setup.call.made == 2
