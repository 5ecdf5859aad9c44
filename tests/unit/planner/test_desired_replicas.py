"""The desired number of workers of a pool, from its spec, its status and its workers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ocrpool.planner.observed import ObservedPool, ObservedWorker, WorkerObservation
from ocrpool.planner.workers.autoscaling import AutoscalingHistory, WorkerDecision
from ocrpool.planner.workers.desired_replicas import (
    ReplicaHistory,
    autoscaling_policy,
    autoscaling_report,
    decide_desired_replicas,
    expected_growth,
    worker_load,
)
from ocrpool.resource.spec import Autoscaling, DisruptionSpec, InstanceRange, MemorySpec, PoolSpec
from ocrpool.resource.status import AutoscalingReport, PoolStatus
from tests.unit.planner.pools import GIB, a_pod, a_pool, a_state


def asks(
    count: int, memory: ReplicaHistory, now: float, *, before: int = 3
) -> tuple[int, ReplicaHistory]:
    pool = replace(a_pool(count), status=PoolStatus(desired_replicas=before))
    wanted = decide_desired_replicas(pool, (), {}, memory, now)
    return wanted.workers, wanted.memory


def test_fewer_replicas_wait_for_the_window_and_more_take_effect_at_once() -> None:
    memory = ReplicaHistory()
    found = []
    for now, count in ((0, 3), (5, 1), (10, 4), (15, 1), (35, 1), (41, 1)):
        wanted, memory = asks(count, memory, float(now))
        found.append(wanted)

    assert found == [3, 3, 4, 4, 4, 1]


def test_window_starts_again_after_an_operator_restart() -> None:
    wanted, memory = asks(1, ReplicaHistory(), 1000.0)
    assert wanted == 3
    wanted, _ = asks(1, memory, 1031.0)
    assert wanted == 1


def test_new_and_deleted_pools_do_not_wait() -> None:
    assert asks(2, ReplicaHistory(), 0.0, before=0)[0] == 2
    assert (
        decide_desired_replicas(a_pool(3, deleting=True), (), {}, ReplicaHistory(), 0.0).workers
        == 0
    )


def scaled(status: PoolStatus | None = None, **more: object) -> ObservedPool:
    spec = PoolSpec(autoscaling=Autoscaling(min_replicas=2, max_replicas=5), **more)  # type: ignore[arg-type]
    return ObservedPool("default", "pages", "uid", 1, spec, status or PoolStatus())


def test_desired_replicas_are_kept_from_the_status_after_a_restart() -> None:
    kept = scaled(PoolStatus(desired_replicas=4))

    assert decide_desired_replicas(kept, (), {}, ReplicaHistory(), 0.0).workers == 4
    assert kept.desired_replicas == 4
    assert decide_desired_replicas(scaled(), (), {}, ReplicaHistory(), 0.0).workers == 2


def test_autoscaling_report_changes_only_with_the_number() -> None:
    before = AutoscalingReport(desired=2, decision="1 → 2: so it was", last_scale_time="then")
    pool = scaled(PoolStatus(desired_replicas=2, autoscaling=before))
    held = WorkerDecision(2, "Hold", "2: hold, load 1.23 instances", AutoscalingHistory())
    grown = WorkerDecision(3, "Grow", "2 → 3: load", AutoscalingHistory())

    assert autoscaling_report(pool, held, 0.0) == before
    told = autoscaling_report(pool, grown, 60.0)
    assert told is not None
    assert (told.desired, told.decision) == (3, "2 → 3: load")
    assert told.last_scale_time == "1970-01-01T00:01:00Z"
    assert autoscaling_report(a_pool(2), None, 0.0) is None


def test_policy_has_a_shared_queue_with_a_proxy() -> None:
    spec = scaled().spec
    with_proxy = PoolSpec.model_validate({"autoscaling": {}, "proxy": {}})
    policies = autoscaling_policy(spec), autoscaling_policy(with_proxy)

    assert [each.shared for each in policies if each is not None] == [False, True]


@pytest.mark.parametrize(
    ("told", "room"),
    [(None, 3), ("Hold", 3), ("Grow", 3), ("NoGain", 0), ("CoolDown", 0), ("AtMax", 0)],
)
def test_expected_growth_follows_memory_and_the_last_decision(told: str, room: int) -> None:
    spec = PoolSpec(memory=MemorySpec(reserve="1Gi"), instances=InstanceRange(min=1, max=8))
    # 6 GiB free less 1 reserved less 2 promised to two instances that hold nothing yet.
    state = a_state(free=6 * GIB)

    assert expected_growth(spec, state, told) == room  # type: ignore[arg-type]
    few = PoolSpec(memory=MemorySpec(reserve="1Gi"), instances=InstanceRange(min=1, max=3))
    assert expected_growth(few, state, None) == 1


def test_current_pages_count_as_work() -> None:
    state = a_state(busy=1)
    each = (state.instances.each[0].model_copy(update={"busy_seconds": 2.5}), *state.instances.each)
    state = state.model_copy(
        update={"instances": state.instances.model_copy(update={"each": each})}
    )
    found = worker_load(
        PoolSpec(), ObservedWorker(a_pod(), WorkerObservation(state=state)), None, 0.0
    )

    assert found is not None
    assert found.work == 2.5
    assert (
        worker_load(
            PoolSpec(), ObservedWorker(a_pod(), WorkerObservation(error="silent")), None, 0.0
        )
        is None
    )


def resting(
    memory: ReplicaHistory, worker: ObservedWorker, now: float
) -> tuple[bool, ReplicaHistory]:
    pool = replace(a_pool(1), spec=PoolSpec(replicas=1, disruption=DisruptionSpec(rest_seconds=60)))
    found = decide_desired_replicas(pool, (worker,), {}, memory, now)
    return bool(found.evictable), found.memory


def test_worker_is_evictable_after_rest_seconds_without_a_request() -> None:
    idle = ObservedWorker(a_pod(), WorkerObservation(state=a_state()))
    rests, memory = resting(ReplicaHistory(), idle, 0.0)
    assert not rests
    rests, memory = resting(memory, idle, 61.0)
    assert rests
    # One request in between is enough, however short.
    assert idle.state is not None
    counters = idle.state.counters.model_copy(update={"requests": 1})
    asked = ObservedWorker(
        a_pod(), WorkerObservation(state=idle.state.model_copy(update={"counters": counters}))
    )
    rests, memory = resting(memory, asked, 62.0)
    assert not rests
    rests, memory = resting(
        memory, ObservedWorker(a_pod(), WorkerObservation(error="silent")), 100.0
    )
    rests, memory = resting(memory, asked, 123.0)
    assert rests
    assert not resting(
        memory, ObservedWorker(a_pod(), WorkerObservation(state=a_state(busy=1))), 200.0
    )[0]


def test_evictable_worker_stays_evictable_after_a_restart() -> None:
    assert resting(
        ReplicaHistory(),
        ObservedWorker(a_pod(evictable=True), WorkerObservation(state=a_state())),
        0.0,
    )[0]
    assert not resting(
        ReplicaHistory(),
        ObservedWorker(a_pod(evictable=True), WorkerObservation(state=a_state(busy=1))),
        0.0,
    )[0]
