"""The status: what it reports, and that it does not change without a relevant change."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ocrpool.planner.instances.types import InstanceDecision, InstanceHistory, InstanceReason
from ocrpool.planner.observed import (
    FailureCount,
    ObservedPool,
    ObservedWorker,
    PoolProblem,
    WorkerObservation,
)
from ocrpool.planner.status.report import ReconcileResult, build_status
from ocrpool.planner.workers.plan import plan_workers
from ocrpool.resource.spec import InstanceRange
from ocrpool.resource.status import PoolStatus
from tests.unit.planner.pools import GIB, a_pod, a_pool, a_seen, a_state


def report(
    pool: ObservedPool,
    *workers: ObservedWorker,
    now: float = 1000.0,
    decision: str = "2: hold, nothing to do",
    reason: InstanceReason = "Hold",
    problems: int = 0,
) -> PoolStatus:
    seen = a_seen(pool, *workers, now=now)
    decisions = {each.pod.name: a_decision(decision, reason) for each in workers}
    problem = [PoolProblem("Forbidden", "no rights")] * problems
    return build_status(ReconcileResult(seen, plan_workers(seen), decisions, {}, problem))


def a_decision(sentence: str, reason: InstanceReason = "Hold", target: int = 2) -> InstanceDecision:
    return InstanceDecision(target, reason, sentence, InstanceHistory())


def served(free: int = 8 * GIB) -> tuple[ObservedWorker, ...]:
    return tuple(
        ObservedWorker(a_pod(n), WorkerObservation(state=a_state(free=free))) for n in range(2)
    )


def conditions(status: PoolStatus) -> dict[str, tuple[str, str]]:
    return {each.type: (each.status, each.reason) for each in status.conditions}


@given(st.lists(st.integers(-GIB // 3, GIB // 3), max_size=20), st.integers(1, 10**6))
def test_small_changes_do_not_change_the_status(noise: list[int], later: int) -> None:
    status = report(a_pool(2), *served(), decision="2: hold, headroom 5.1Gi < 6Gi")
    for step, each in enumerate(noise):
        again = report(
            replace(a_pool(2), status=status),
            *served(8 * GIB + each),
            now=1000.0 + later + step,
            decision=f"2: hold, headroom {5.1 + step}Gi < 6Gi",
        )
        assert again == status


def test_relevant_change_of_a_figure_is_written() -> None:
    status = report(a_pool(2), *served())
    again = report(replace(a_pool(2), status=status), *served(4 * GIB))

    assert again.workers[0].memory is not None
    assert again.workers[0].memory.free == 4 * GIB
    assert [each.last_transition_time for each in again.conditions] == [
        each.last_transition_time for each in status.conditions
    ]


def test_transition_time_changes_only_with_the_status() -> None:
    status = report(a_pool(2), *served())
    assert conditions(status)["Ready"] == ("True", "AllWorkersReady")

    broken = ObservedWorker(
        a_pod(1, ready=False), WorkerObservation(state=a_state(ready=False, problem="ModelMissing"))
    )
    again = report(replace(a_pool(2), status=status), served()[0], broken, now=2000.0)

    assert conditions(again) == {
        "Ready": ("False", "ModelMissing"),
        "Progressing": ("False", "Stuck"),
        "Degraded": ("True", "ModelMissing"),
    }
    times = {each.type: each.last_transition_time for each in again.conditions}
    assert times["Ready"] == times["Degraded"] == "1970-01-01T00:33:20Z"
    assert times["Progressing"] == "1970-01-01T00:16:40Z"


def test_unreachable_worker_keeps_its_figures_and_is_reported() -> None:
    status = report(a_pool(2), *served())
    once = ObservedWorker(
        a_pod(1), WorkerObservation(error="it does not answer within 3 s", failures_in_a_row=1)
    )
    assert report(replace(a_pool(2), status=status), served()[0], once) == status
    silent = ObservedWorker(
        a_pod(1), WorkerObservation(error="it does not answer within 3 s", failures_in_a_row=2)
    )
    again = report(replace(a_pool(2), status=status), served()[0], silent)

    assert [each.name for each in again.workers] == ["pages-1", "pages-0"]
    assert again.workers[0].memory == status.workers[1].memory
    assert conditions(again)["Degraded"] == ("True", "WorkerUnreachable")
    assert "does not answer" in again.workers[0].problem


def test_requests_that_the_api_server_refused_are_reported() -> None:
    status = report(a_pool(2), *served(), problems=1)

    assert conditions(status)["Degraded"] == ("True", "Forbidden")
    assert conditions(status)["Ready"][0] == "True"


def test_pool_with_zero_replicas_is_not_ready() -> None:
    assert conditions(report(a_pool(0)))["Ready"] == ("False", "NoWorkers")


def test_workers_are_sorted_by_index() -> None:
    workers = [ObservedWorker(a_pod(n), WorkerObservation(state=a_state())) for n in (10, 2, 0)]
    status = report(a_pool(11), *workers)

    assert [each.name for each in status.workers] == [f"pages-{n}" for n in range(11)]
    assert status.workers[1].phase == "Waiting"


def test_sentence_is_updated_together_with_its_figures() -> None:
    status = report(a_pool(2), *served(), decision="2: hold, headroom 6.9Gi < 7Gi")
    near = replace(a_pool(2), status=status)
    moved = report(near, *served(4 * GIB), decision="2: hold, headroom 2.9Gi < 7Gi")
    same = report(near, *served(8 * GIB - 2**20), decision="2: hold, headroom 6.8Gi < 7Gi")
    other = report(near, *served(), decision="2: hold, instances.max is 2", reason="AtMax")

    assert moved.workers[0].decision == "2: hold, headroom 2.9Gi < 7Gi"
    assert same == status
    assert other.workers[0].decision == "2: hold, instances.max is 2"


def test_problem_found_by_the_planner_degrades_a_ready_pool() -> None:
    why = "2: hold, left 100Mi (100Mi free − 0 promised) < 896Mi; but instances.min is 2"
    status = report(a_pool(2), *served(), decision=why, reason="InsufficientMemory")

    assert conditions(status)["Ready"] == ("True", "AllWorkersReady")
    assert conditions(status)["Degraded"] == ("True", "InsufficientMemory")
    assert status.workers[0].problem.startswith("InsufficientMemory: left 100Mi")
    assert "lower instances.min" in status.workers[0].problem


def test_problem_of_the_worker_takes_precedence() -> None:
    broken = ObservedWorker(
        a_pod(0, ready=False), WorkerObservation(state=a_state(ready=False, problem="DeviceLost"))
    )
    decision = "2: hold, the gpu's memory cannot be read"
    status = report(a_pool(1), broken, decision=decision, reason="DeviceUnreadable")

    assert status.workers[0].problem == "DeviceLost: so it is"
    assert conditions(status)["Ready"] == ("False", "DeviceLost")


def test_pool_below_instances_min_is_progressing_or_degraded() -> None:
    spec = a_pool(2).spec.model_copy(update={"instances": InstanceRange(min=3, max=4)})
    pool = replace(a_pool(2), spec=spec)
    growing = report(
        pool, *served(), decision="2: hold, 1 of 2 instances are ready", reason="Booting"
    )
    kept = report(
        pool,
        *served(),
        decision="2: hold, the worker limits itself to 2 instances after running out of memory",
        reason="AtCeiling",
    )

    assert conditions(growing)["Progressing"] == ("True", "Growing")
    assert conditions(growing)["Degraded"][0] == "False"
    assert conditions(kept)["Progressing"] == ("False", "Settled")
    assert conditions(kept)["Degraded"] == ("True", "InsufficientMemory")


def test_waiting_worker_reports_its_previous_failure() -> None:
    failed = {f"pages-{n}": FailureCount(2, 995.0) for n in range(2)}

    def tell(status: PoolStatus, *workers: ObservedWorker) -> PoolStatus:
        seen = a_seen(replace(a_pool(2), status=status), *workers, failures=failed)
        return build_status(ReconcileResult(seen, plan_workers(seen), {}, failed))

    bad = WorkerObservation(state=a_state(ready=False, problem="DeviceError"))
    # It is deleted in the round that first hears of it, and says that it drains from then on.
    going = [a_pod(n, ready=False, ends_at=1000.0) for n in range(2)]
    status = tell(PoolStatus(), *(ObservedWorker(each, bad) for each in going))
    ends = WorkerObservation(state=a_state(ready=False, draining=True, problem="Draining"))
    status = tell(status, *(ObservedWorker(each, ends) for each in going))
    waits = tell(status)

    told = waits.workers[0].problem
    assert told.startswith("BackOff: failed 2 times")
    assert told.endswith("; previous failure: DeviceError: so it is")
    assert waits.workers[1].problem == "BackOff: as pages-0"
    assert tell(waits) == waits
    degraded = next(each for each in waits.conditions if each.type == "Degraded")
    assert "DeviceError: so it is" in degraded.message
