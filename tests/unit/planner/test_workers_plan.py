"""The plan of worker pods: properties of any plan, and that plans converge."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrpool.planner.observed import (
    FailureCount,
    ObservedPod,
    ObservedWorker,
    PoolSnapshot,
    WorkerObservation,
)
from ocrpool.planner.workers.failures import failures_from_status
from ocrpool.planner.workers.placement import choose_placement
from ocrpool.planner.workers.plan import (
    CreatePod,
    DeletePod,
    DrainWorker,
    MarkEvictable,
    RemoveFromService,
    RestoreToService,
    backoff_until,
    plan_workers,
)
from ocrpool.resource.status import PoolStatus, WorkerReport
from tests.unit.planner.pools import Cluster, a_pod, a_pool, a_seen, a_state

looks = st.one_of(
    st.just(WorkerObservation(error="silent")),
    st.builds(
        lambda ready, draining, busy, problem: WorkerObservation(
            state=a_state(ready=ready, draining=draining, busy=busy, problem=problem)
        ),
        st.booleans(),
        st.booleans(),
        st.integers(0, 2),
        st.sampled_from([None, "Starting", "DeviceError", "ModelMissing"]),
    ),
)


@st.composite
def pods(draw: st.DrawFn, index: int) -> ObservedPod:
    moments = st.one_of(st.none(), st.floats(800, 1100))
    return replace(
        a_pod(index, revision=draw(st.sampled_from(["new", "old"])), ready=draw(st.booleans())),
        finished=draw(st.booleans()),
        ends_at=draw(moments),
        draining_since=draw(moments),
    )


@st.composite
def seens(draw: st.DrawFn) -> PoolSnapshot:
    indexes = draw(st.sets(st.integers(0, 6), max_size=6))
    workers = [ObservedWorker(draw(pods(index)), draw(looks)) for index in sorted(indexes)]
    pool = a_pool(draw(st.integers(0, 5)), deleting=draw(st.booleans()))
    failures = {
        f"pages-{index}": FailureCount(draw(st.integers(0, 40)), draw(st.floats(900, 1000)))
        for index in draw(st.sets(st.integers(0, 5)))
    }
    return a_seen(pool, *workers, failures=failures)


@given(seens())
def test_lowest_free_indexes_are_created_or_in_back_off(seen: PoolSnapshot) -> None:
    found = plan_workers(seen)
    there = {worker.pod.name for worker in seen.workers}
    created = [action.name for action in found.actions if isinstance(action, CreatePod)]
    told = [*created, *(name for name, _ in found.waiting)]
    free = [name for name in (f"pages-{n}" for n in range(20)) if name not in there]

    assert len(told) == len(set(told))
    assert set(told) == set(free[: max(0, seen.pool.desired_replicas - len(there))])
    assert not found.waiting or (found.wake_at is not None and found.wake_at > seen.now)


@given(seens())
def test_desired_number_stays_and_the_most_useful_pods_do(seen: PoolSnapshot) -> None:
    kept = set(choose_placement(seen).kept)
    serving = {each.pod.name for each in seen.workers if each.pod.ready and not each.leaving}
    gone = [each for each in seen.workers if each.pod.name not in kept]

    assert len(kept) == seen.pool.desired_replicas
    # Nothing that serves goes while something that leaves, or does not serve, stays.
    if any(one.pod.name in serving and not one.pod.finished for one in gone):
        assert all(each.pod.ready and not each.leaving and not each.pod.finished
                   for each in seen.workers if each.pod.name in kept)  # fmt: skip


@given(seens())
def test_serving_desired_pods_stay(seen: PoolSnapshot) -> None:
    wanted = set(choose_placement(seen).kept)
    keep = {
        worker.pod.uid
        for worker in seen.workers
        if worker.serving
        and not worker.pod.finished
        and worker.pod.revision == seen.revision
        and worker.pod.name in wanted
    }
    touched = {
        action.pod.uid
        for action in plan_workers(seen).actions
        if isinstance(action, RemoveFromService | DeletePod | DrainWorker)
    }

    assert not keep & touched


@given(seens())
def test_rollout_replaces_one_pod_while_all_others_serve(seen: PoolSnapshot) -> None:
    wanted = set(choose_placement(seen).kept)
    rolled = [
        action.pod.name
        for action in plan_workers(seen).actions
        if isinstance(action, RemoveFromService) and action.pod.name in wanted
    ]

    assert len(rolled) <= 1
    if rolled:
        serving = {worker.pod.name for worker in seen.workers if worker.serving}
        assert wanted <= serving


@given(seens())
def test_plan_is_deterministic_with_one_action_per_pod(seen: PoolSnapshot) -> None:
    found = plan_workers(seen)
    acted = [action.pod.uid for action in found.actions if not isinstance(action, CreatePod)]

    assert len(acted) == len(set(acted))
    assert plan_workers(seen) == found


@given(seens())
def test_busy_worker_is_not_deleted_before_the_page_limit(seen: PoolSnapshot) -> None:
    """A worker that reads a page is not deleted before the page limit."""
    for action in plan_workers(seen).actions:
        if (
            not isinstance(action, DeletePod)
            or action.failed
            or action.force
            or action.pod.finished
        ):
            continue
        worker = next(each for each in seen.workers if each.pod.uid == action.pod.uid)
        if worker.pod.ready and worker.state is not None and not worker.idle:
            assert worker.pod.draining_since is not None
            assert seen.now - worker.pod.draining_since >= seen.pool.spec.admission.timeout_seconds


@given(st.integers(0, 60), st.floats(0, 1e9))
def test_back_off_is_at_most_ten_minutes(times: int, at: float) -> None:
    until = backoff_until(FailureCount(times, at))

    assert until == 0 if times == 0 else until - at + 1e-3 >= 10
    assert until - at <= 600 + 1e-3
    assert until <= backoff_until(FailureCount(times + 1, at))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 20)), max_size=5),
)
def test_plan_converges_and_removes_one_worker_at_a_time(
    replicas: int, edits: list[tuple[int, bool, int]]
) -> None:
    cluster = Cluster(a_pool(replicas))
    cluster.settle(60)
    for number, (count, changed, busy) in enumerate(edits):
        cluster.pool = replace(a_pool(count), generation=number + 2)
        if changed:
            cluster.revision = f"r{number + 2}"
        cluster.busy = dict.fromkeys(cluster.pods, busy)
        least = min(cluster.serving(), count)
        for _ in range(400):
            found = cluster.step()
            assert cluster.serving() >= least - 1
            if not found.actions and cluster.settled():
                break
        else:
            raise AssertionError(f"not settled: {cluster.pods}")
    assert cluster.lost == 0, "pages that somebody waited for"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=12))
def test_finished_pods_are_replaced_with_back_off(deaths: list[int]) -> None:
    cluster = Cluster(a_pool(3))
    cluster.settle(60)
    for index in deaths:
        name = f"pages-{index}"
        if name in cluster.pods:
            cluster.pods[name] = replace(cluster.pods[name], ready=False, finished=True)
        for _ in range(5):
            cluster.step()
    made = cluster.made
    cluster.settle(1300)
    assert made <= 3 + len(deaths)


def test_pod_with_device_errors_is_replaced_after_its_back_off() -> None:
    state = a_state(ready=False, problem="DeviceError")
    worker = ObservedWorker(a_pod(ready=False), WorkerObservation(state=state))
    first = plan_workers(a_seen(a_pool(1), worker))
    again = plan_workers(a_seen(a_pool(1), worker, failures={"pages-0": FailureCount(3, 990.0)}))

    assert [type(action) for action in first.actions] == [DeletePod]
    assert again.actions == ()
    assert again.wake_at == 1030.0


@pytest.mark.parametrize("reason", ["DeviceLost", "DeviceUnreadable"])
def test_pod_with_a_lost_device_is_replaced_after_two_minutes(reason: str) -> None:
    state = WorkerObservation(state=a_state(ready=False, problem=reason))
    worker = ObservedWorker(a_pod(ready=False, created_at=100.0, ready_changed_at=900.0), state)
    serving = ObservedWorker(a_pod(created_at=100.0, ready_changed_at=900.0), state)
    [action] = plan_workers(a_seen(a_pool(1), worker, now=1020.0)).actions

    assert plan_workers(a_seen(a_pool(1), worker, now=1019.0)).actions == ()
    assert plan_workers(a_seen(a_pool(1), worker, now=1019.0)).wake_at == 1020.0
    assert isinstance(action, DeletePod)
    assert action.failed
    assert action.why == f"its device does not recover: {reason}: so it is"
    assert plan_workers(a_seen(a_pool(1), serving, now=5000.0)).actions == ()


def test_device_that_fails_at_every_start_is_retried_every_ten_minutes() -> None:
    """Within two hours, it is retried all the time, but not more often than the back-off."""
    cluster, made = Cluster(a_pool(1), boot=10**9), []
    for _ in range(7200):
        before = cluster.made
        for name, age in cluster.age.items():
            cluster.problems[name] = "DeviceError" if age >= 20 else None
        cluster.step()
        if cluster.made > before:
            made.append(cluster.now)
    pauses = [later - sooner for sooner, later in pairwise(made)]

    assert 10 <= len(made) <= 20
    assert pauses == sorted(pauses)
    assert 600 <= pauses[-1] <= 640


def test_failure_count_is_reset_only_by_ready_time() -> None:
    """Waiting for a node does not count as ready time."""
    row = WorkerReport(name="pages-0", phase="Ready", failures=3, failed_at="1970-01-01T00:10:00Z")
    status = PoolStatus(workers=(row,))
    fresh = ObservedWorker(a_pod(created_at=700.0, ready_changed_at=2000.0))

    assert failures_from_status(status, [fresh], 2599.0)["pages-0"].times == 3
    assert failures_from_status(status, [fresh], 2600.0) == {}


def test_pod_on_a_lost_node_is_force_deleted_after_a_minute() -> None:
    worker = ObservedWorker(a_pod(ready=False, ends_at=1000.0))

    assert plan_workers(a_seen(a_pool(1), worker, now=1059.0)).actions == ()
    action = plan_workers(a_seen(a_pool(1), worker, now=1060.0)).actions[0]
    assert isinstance(action, DeletePod)
    assert action.force


def _named(index: int, node: str = "node", **more: object) -> ObservedWorker:
    busy = int(bool(more.pop("busy", False)))
    return ObservedWorker(
        a_pod(index, node=node, **more), WorkerObservation(state=a_state(busy=busy))
    )


def _gone(wanted: int, *workers: ObservedWorker) -> set[str]:
    seen = a_seen(a_pool(wanted), *workers)
    return {each.pod.name for each in workers} - set(choose_placement(seen).kept)


def test_pods_that_do_not_serve_are_removed_first() -> None:
    full = [_named(0), _named(1), _named(2)]
    waiting, booting = _named(3, node="", ready=False), _named(4, ready=False)
    draining = _named(5, draining_since=990.0)

    assert _gone(5, *full, waiting, booting, draining) == {"pages-5"}
    assert _gone(4, *full, waiting, booting, draining) == {"pages-5", "pages-3"}
    assert _gone(3, *full, waiting, booting, draining) == {"pages-5", "pages-3", "pages-4"}


def test_scale_down_empties_nodes_and_removes_idle_workers_first() -> None:
    crowd = [_named(0, "a"), _named(1, "a"), _named(2, "a", busy=True)]
    pair = [_named(3, "b", busy=True), _named(4, "b", busy=True)]

    assert _gone(4, *crowd, *pair) == {"pages-4"}
    assert _gone(3, *crowd, *pair) == {"pages-4", "pages-3"}
    assert _gone(2, *crowd, *pair) == {"pages-4", "pages-3", "pages-1"}


def test_pool_keeps_any_indexes_and_fills_the_lowest() -> None:
    found = plan_workers(a_seen(a_pool(3), _named(2), _named(5)))

    assert [action.name for action in found.actions if isinstance(action, CreatePod)] == ["pages-0"]
    assert _gone(3, _named(2), _named(5)) == set()


def test_draining_pod_is_restored_when_it_is_desired_again() -> None:
    workers = [_named(0), _named(1, draining_since=999.0)]
    told = ObservedWorker(workers[1].pod, WorkerObservation(state=a_state(draining=True)))

    assert [type(each) for each in plan_workers(a_seen(a_pool(2), *workers)).actions] == [
        RestoreToService
    ]
    assert [type(each) for each in plan_workers(a_seen(a_pool(1), *workers)).actions] == [
        DrainWorker
    ]
    # It refuses already: it ends, and its place gets another pod.
    again = plan_workers(a_seen(a_pool(2), workers[0], told, now=1050.0)).actions
    assert [type(each) for each in again] == [DeletePod]


def test_evictable_annotation_follows_idleness() -> None:
    rests = a_seen(a_pool(1), _named(0), evictable=frozenset({"uid-0-new"}))
    works = a_seen(a_pool(1), _named(0, evictable=True))

    assert [
        each.evictable for each in plan_workers(rests).actions if isinstance(each, MarkEvictable)
    ] == [True]
    assert [
        each.evictable for each in plan_workers(works).actions if isinstance(each, MarkEvictable)
    ] == [False]
    assert plan_workers(a_seen(a_pool(1), _named(0))).actions == ()
