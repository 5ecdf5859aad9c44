"""Errors of the API server, simulated by kmock: every one is reported, none is swallowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import kmock
import pytest
import pytest_asyncio
from kubernetes.aio.client import Configuration

from ocrpool_operator.cluster.api_errors import persistent_problem
from ocrpool_operator.cluster.client import PODS, ApiError, KubeClient
from ocrpool_operator.cluster.connection import api_client
from ocrpool_operator.metrics import OperatorMetrics
from ocrpool_operator.reconcile.loop import ReconcileLoop

PATH = "/api/v1/namespaces/default/pods/pages-0"


@pytest_asyncio.fixture
async def server() -> AsyncIterator[kmock.RawHandler]:
    async with kmock.RawHandler() as handler, kmock.Server(handler):
        yield handler


async def refused(server: kmock.RawHandler) -> ApiError:
    configuration = Configuration(host=str(server.url).rstrip("/"))
    async with api_client(configuration) as api:
        client = KubeClient(api)
        with pytest.raises(ApiError) as error:
            await client.get(PODS, "default", "pages-0")
    return error.value


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_busy_and_broken_api_servers_are_retried(
    server: kmock.RawHandler, status: int
) -> None:
    server[f"get {PATH}"] << status << {"message": "too much"}
    error = await refused(server)

    assert error.status == status
    with pytest.raises(ApiError):
        persistent_problem(error)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [403, 409, 422])
async def test_refusals_become_pool_problems(server: kmock.RawHandler, status: int) -> None:
    server[f"get {PATH}"] << status << {"message": "it may not be", "reason": "Because"}
    problem = persistent_problem(await refused(server))

    assert "it may not be" in problem.message


@pytest.mark.asyncio
async def test_answer_that_is_not_json_raises_api_error(server: kmock.RawHandler) -> None:
    server[f"get {PATH}"] << 200 << b"<html>"

    assert (await refused(server)).reason == "BadAnswer"


@pytest.mark.asyncio
async def test_failing_rounds_back_off() -> None:
    """Other pools are not delayed."""
    rounds: dict[str, int] = {"good": 0, "bad": 0}

    async def reconcile(key: tuple[str, str]) -> float:
        rounds[key[1]] += 1
        if key[1] == "bad":
            raise RuntimeError("always")
        return 0.05

    loop = ReconcileLoop(reconcile, OperatorMetrics(), asyncio.get_running_loop().time)
    loop.enqueue(("default", "good"))
    loop.enqueue(("default", "bad"))
    task = asyncio.create_task(loop.run())
    for _ in range(20):
        await asyncio.sleep(0.1)
        loop.enqueue(("default", "bad"))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert rounds["bad"] <= 3
    assert rounds["good"] >= 10
