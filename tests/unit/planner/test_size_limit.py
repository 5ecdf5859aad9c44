"""A status fits into its object with any number of workers and problems."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrpool.planner.instances.types import InstanceDecision, InstanceHistory
from ocrpool.planner.observed import (
    FailureCount,
    ObservedPool,
    ObservedWorker,
    PoolProblem,
    WorkerObservation,
)
from ocrpool.planner.size_limit import STATUS_BYTES, fit_status
from ocrpool.planner.status.report import ReconcileResult, build_status
from ocrpool.planner.workers.plan import plan_workers
from ocrpool.resource.status import PoolStatus
from ocrpool_operator.cluster.api_errors import persistent_problem
from ocrpool_operator.cluster.client import POOLS, ApiCall, ApiError
from ocrpool_operator.cluster.parse import pod_from
from ocrpool_operator.reconcile.status_writer import StatusWriter
from tests.unit.planner.pools import a_pod, a_pool, a_seen, a_state

LONG = "failed to pull and unpack image: " + "x" * 4000
SENTENCE = "3 → 4: headroom 5.1Gi (6.1Gi free − 1Gi reserve − 0 promised) ≥ 1.8Gi (1.4Gi footprint)"


def told(
    pool: ObservedPool, *workers: ObservedWorker, failures: dict[str, FailureCount] | None = None
) -> PoolStatus:
    seen = a_seen(pool, *workers)
    decision = InstanceDecision(4, "Grow", SENTENCE, InstanceHistory())
    decisions = {each.pod.name: decision for each in workers if each.state is not None}
    return build_status(ReconcileResult(seen, plan_workers(seen), decisions, failures or {}))


def size(status: PoolStatus) -> int:
    return len(status.model_dump_json(by_alias=True).encode())


def without_image(index: int) -> ObservedWorker:
    waiting = {"reason": "ImagePullBackOff", "message": LONG}
    status = {
        "phase": "Pending",
        "containerStatuses": [{"name": "worker", "image": "no:1", "state": {"waiting": waiting}}],
    }
    meta = {"name": f"pages-{index}", "uid": f"u{index}", "resourceVersion": "1"}
    return ObservedWorker(pod_from({"metadata": meta, "status": status}))


def test_status_of_a_thousand_failing_workers_fits() -> None:
    status = told(a_pool(1000), *(without_image(index) for index in range(1000)))

    assert size(status) < STATUS_BYTES // 3
    assert fit_status(status) == status
    assert [each.name for each in status.workers] == [f"pages-{index}" for index in range(1000)]
    assert status.workers[0].problem.startswith("ImageNotAvailable: image 'no:1': failed to pull")
    assert "template.image" in status.workers[0].problem
    assert {each.problem for each in status.workers[1:]} == {"ImageNotAvailable: as pages-0"}
    degraded = next(each for each in status.conditions if each.type == "Degraded")
    assert degraded.reason == "ImageNotAvailable"
    assert degraded.message.startswith("pages-0 and 999 more: image 'no:1'")
    assert len(degraded.message) < 600


def test_workers_with_problems_come_first() -> None:
    well = [ObservedWorker(a_pod(index), WorkerObservation(state=a_state())) for index in range(4)]
    broken = ObservedWorker(
        a_pod(4, ready=False, problem=PoolProblem("NodeLost", "its node is silent"))
    )
    status = told(a_pool(5), *well, broken, failures={"pages-2": FailureCount(3, 900.0)})

    assert [each.name for each in status.workers] == [f"pages-{n}" for n in (2, 4, 0, 1, 3)]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(4096, 40_000))
def test_status_fits_any_limit(well: int, ill: int, most: int) -> None:
    workers = [
        ObservedWorker(a_pod(index), WorkerObservation(state=a_state())) for index in range(well)
    ]
    for index in range(well, well + ill):
        problem = PoolProblem("ContainerRefused", f"{index}: {'y' * 200}")
        workers.append(ObservedWorker(a_pod(index, ready=False, problem=problem)))
    whole = told(a_pool(well + ill), *workers)
    status = fit_status(whole, most)

    assert size(status) <= most
    assert status.replicas == well + ill
    assert fit_status(status, most) == status
    # What is left out is left out from the end, and it is said.
    names = [each.name for each in whole.workers]
    assert [each.name for each in status.workers] == names[: len(status.workers)]
    ready = next(each for each in status.conditions if each.type == "Ready")
    assert ("left out" in ready.message or "not listed" in ready.message) == (status != whole)


def test_long_messages_are_cut_and_stable() -> None:
    error = ApiError(ApiCall("create", POOLS, "a", "b"), 422, "Invalid", "z" * 9000)
    assert len(persistent_problem(error).message) < 600

    def pulled(reason: str, message: str) -> PoolProblem | None:
        waiting = {"reason": reason, "message": message}
        container = {"name": "worker", "image": "no:1", "state": {"waiting": waiting}}
        meta = {"name": "pages-0", "uid": "u", "resourceVersion": "1"}
        return pod_from({"metadata": meta, "status": {"containerStatuses": [container]}}).problem

    first = pulled("ErrImagePull", "rpc error: not found")
    again = pulled(
        "ImagePullBackOff", 'Back-off pulling image "no:1": ErrImagePull: rpc error: not found'
    )
    assert first == again
    scheduled = {
        "type": "PodScheduled",
        "status": "False",
        "message": "0/5000 nodes: " + "n" * 9000,
    }
    meta = {"name": "pages-0", "uid": "u", "resourceVersion": "1"}
    problem = pod_from({"metadata": meta, "status": {"conditions": [scheduled]}}).problem
    assert problem is not None
    assert len(problem.message) < 500


class Refusing:
    """Accepts a status up to a size, and answers larger ones as the API server and etcd do."""

    def __init__(self, most: int, status: int, message: str) -> None:
        self.most, self.error = most, (status, message)
        self.written: list[PoolStatus] = []
        self.posted: list[str] = []

    async def write_status(self, pool: ObservedPool, status: PoolStatus) -> None:
        if size(status) > self.most:
            code, message = self.error
            raise ApiError(
                ApiCall("patch", POOLS, "a", "b", "status"), code, "InternalError", message
            )
        self.written.append(status)

    async def post(
        self, pool: ObservedPool, reason: str, message: str, *, warning: bool = False
    ) -> None:
        self.posted.append(f"{reason}: {message}")

    async def post_transitions(self, pool: ObservedPool, after: PoolStatus) -> None:
        return


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "etcdserver: request is too large"),
        (413, "Request entity too large: limit is 3145728"),
        (500, "rpc error: code = ResourceExhausted desc = trying to send message larger than max"),
    ],
)
async def test_status_refused_for_its_size_is_written_smaller(status: int, message: str) -> None:
    server: Any = Refusing(40_000, status, message)
    statuses = StatusWriter(server, server)
    workers = [
        ObservedWorker(a_pod(index), WorkerObservation(state=a_state())) for index in range(500)
    ]
    whole = told(a_pool(500), *workers)
    await statuses.write(a_pool(500), whole)

    assert size(server.written[-1]) <= 40_000
    assert len(server.written[-1].workers) > 50
    assert all(each.startswith("StatusTooLarge: ") and message in each for each in server.posted)
    # From then on it is quiet.
    count = len(server.posted)
    await statuses.write(replace(a_pool(500), status=server.written[-1]), whole)
    assert (len(server.written), len(server.posted)) == (1, count)
