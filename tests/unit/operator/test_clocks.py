"""Durations stay what they are when somebody sets the machine's clock."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ocrpool
import ocrpool_operator
from ocrpool.planner.observed import ObservedWorker, WorkerObservation
from ocrpool.planner.workers.desired_replicas import ReplicaHistory, decide_desired_replicas
from ocrpool.planner.workers.plan import DeletePod, plan_workers
from ocrpool_operator.cluster.cache import PoolCache
from ocrpool_operator.cluster.client import SECRETS, ApiCall, ApiError
from ocrpool_operator.cluster.clocks import FOLLOW_SHARE, SlewedClock
from ocrpool_operator.metrics import OperatorMetrics
from ocrpool_operator.reconcile.dependencies import Dependencies
from ocrpool_operator.reconcile.reconciler import Reconciler
from tests.unit.planner.pools import a_pod, a_pool, a_seen, a_state

HOUR = 3600.0


@dataclass
class Machine:
    """Its two clocks; only one of them can be set."""

    passed: float = 500.0
    wall: float = 1_800_000_000.0
    clock: SlewedClock = field(init=False)

    def __post_init__(self) -> None:
        self.clock = SlewedClock(lambda: self.wall, lambda: self.passed)

    def wait(self, seconds: float) -> None:
        self.passed += seconds
        self.wall += seconds


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 300), st.floats(-1e6, 1e6)), min_size=1, max_size=30),
)
def test_clock_changes_distort_durations_by_at_most_a_twentieth(
    steps: list[tuple[float, float]],
) -> None:
    machine = Machine()
    began, waited = machine.clock(), 0.0
    for seconds, jump in steps:
        machine.wall += jump
        machine.wait(seconds)
        waited += seconds
        assert machine.clock() - began == pytest.approx(waited, rel=FOLLOW_SHARE + 1e-3)


def test_changed_wall_clock_is_followed() -> None:
    machine = Machine()
    machine.wall += 60
    for _ in range(1300):
        machine.wait(1)
        machine.clock()
    assert machine.clock() == pytest.approx(machine.wall)


def test_clock_change_does_not_make_a_draining_worker_overdue() -> None:
    machine = Machine()
    since = machine.clock()
    worker = ObservedWorker(
        a_pod(draining_since=since), WorkerObservation(state=a_state(busy=1, draining=True))
    )
    machine.wait(5)
    machine.wall += HOUR
    found = plan_workers(a_seen(a_pool(0), worker, now=machine.clock()))

    assert not [each for each in found.actions if isinstance(each, DeletePod)]


class Secrets:
    """An API server that refuses Secrets, and counts how often it was asked."""

    asked = 0

    async def get(self, resource: object, namespace: str, name: str) -> dict[str, Any]:
        self.asked += 1
        raise ApiError(ApiCall("get", SECRETS, namespace, name), 403, "Forbidden", "no")


@pytest.mark.asyncio
async def test_clock_change_does_not_change_the_retry_pause() -> None:
    passed, wall, server = 100.0, 1_800_000_000.0, Secrets()
    nothing: Any = None
    parts = Dependencies(
        PoolCache(), server, nothing, nothing, nothing, OperatorMetrics(),  # type: ignore[arg-type]
        lambda: wall, clock=lambda: passed,
    )  # fmt: skip
    reconciler = Reconciler(parts, interval=5)
    _, before = await reconciler._obtain_token(a_pool())
    wall -= HOUR
    passed += 61
    _, after = await reconciler._obtain_token(a_pool())

    assert server.asked == 2
    assert [each.reason for each in (*before, *after)] == ["Forbidden", "Forbidden"]


def test_worker_scaling_reads_no_cluster_time_but_the_age_of_pods() -> None:
    """All that it remembers is on the other clock, which may begin at 0."""
    pod = a_pod(created_at=1_800_000_000.0)
    worker = ObservedWorker(pod, WorkerObservation(state=a_state()))
    pool = replace(a_pool(1), status=a_pool(1).status.model_copy(update={"desired_replicas": 3}))
    first = decide_desired_replicas(
        pool, (worker,), {}, ReplicaHistory(), 0.0, wall=1_800_000_010.0
    )
    window = pool.spec.scale_down_stabilization_seconds
    later = decide_desired_replicas(
        pool, (worker,), {}, first.memory, window + 1, wall=1_800_000_000.0 - HOUR
    )

    assert (first.workers, later.workers) == (3, 1)


def test_only_one_module_reads_the_wall_clock() -> None:
    operator, package = Path(ocrpool_operator.__file__).parent, Path(ocrpool.__file__).parent
    found = {
        file.name
        for folder in (operator, package / "planner", package / "resource")
        for file in folder.rglob("*.py")
        if re.search(r"\btime\.time\b|datetime\.now", file.read_text(encoding="utf-8"))
    }
    # The Lease's renewTime is for people; who may act follows from no written time.
    assert found == {"clocks.py", "lease.py"}
