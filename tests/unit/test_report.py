"""The status: what it says, and that it says nothing new while nothing is."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ocrpool_operator.api.status import PoolStatus
from ocrpool_operator.planner.observed import Look, Pool, Trouble, Worker
from ocrpool_operator.planner.report import Round, status_of
from ocrpool_operator.planner.workers import plan
from tests.unit.pools import GIB, a_pod, a_pool, a_seen, a_state


def report(
    pool: Pool, *workers: Worker, now: float = 1000.0, decision: str = "", troubles: int = 0
) -> PoolStatus:
    seen = a_seen(pool, *workers, now=now)
    decisions = {each.pod.name: decision for each in workers}
    trouble = [Trouble("Forbidden", "no rights")] * troubles
    return status_of(Round(seen, plan(seen), decisions, {}, trouble))


def served(free: int = 8 * GIB) -> tuple[Worker, ...]:
    return tuple(Worker(a_pod(n), Look(state=a_state(free=free))) for n in range(2))


def conditions(status: PoolStatus) -> dict[str, tuple[str, str]]:
    return {each.type: (each.status, each.reason) for each in status.conditions}


@given(st.lists(st.integers(-GIB // 3, GIB // 3), max_size=20), st.integers(1, 10**6))
def test_figures_that_jitter_change_nothing(noise: list[int], later: int) -> None:
    status = report(a_pool(2), *served(), decision="hold 2: room 5.1Gi < 6Gi")
    for step, each in enumerate(noise):
        again = report(
            replace(a_pool(2), status=status),
            *served(8 * GIB + each),
            now=1000.0 + later + step,
            decision=f"hold 2: room {5.1 + step}Gi < 6Gi",
        )
        assert again == status


def test_a_figure_that_moved_is_written() -> None:
    status = report(a_pool(2), *served())
    again = report(replace(a_pool(2), status=status), *served(4 * GIB))

    assert again.workers[0].memory is not None
    assert again.workers[0].memory.free == 4 * GIB
    assert [each.last_transition_time for each in again.conditions] == [
        each.last_transition_time for each in status.conditions
    ]


def test_transition_times_change_with_the_status_only() -> None:
    status = report(a_pool(2), *served())
    assert conditions(status)["Ready"] == ("True", "AllWorkersReady")

    broken = Worker(a_pod(1, ready=False), Look(state=a_state(ready=False, problem="ModelMissing")))
    again = report(replace(a_pool(2), status=status), served()[0], broken, now=2000.0)

    assert conditions(again) == {
        "Ready": ("False", "ModelMissing"),
        "Progressing": ("False", "Stuck"),
        "Degraded": ("True", "ModelMissing"),
    }
    times = {each.type: each.last_transition_time for each in again.conditions}
    assert times["Ready"] == times["Degraded"] == "1970-01-01T00:33:20Z"
    assert times["Progressing"] == "1970-01-01T00:16:40Z"


def test_a_silent_worker_keeps_its_last_figures_and_is_told() -> None:
    status = report(a_pool(2), *served())
    once = Worker(a_pod(1), Look(error="it does not answer within 3 s", misses=1))
    assert report(replace(a_pool(2), status=status), served()[0], once) == status
    silent = Worker(a_pod(1), Look(error="it does not answer within 3 s", misses=2))
    again = report(replace(a_pool(2), status=status), served()[0], silent)

    assert again.workers[1].memory == status.workers[1].memory
    assert conditions(again)["Degraded"] == ("True", "WorkerUnreachable")
    assert "does not answer" in again.workers[1].problem


def test_what_the_api_server_refuses_is_told() -> None:
    status = report(a_pool(2), *served(), troubles=1)

    assert conditions(status)["Degraded"] == ("True", "Forbidden")
    assert conditions(status)["Ready"][0] == "True"


def test_no_workers_is_not_ready() -> None:
    assert conditions(report(a_pool(0)))["Ready"] == ("False", "NoWorkers")


def test_workers_are_told_in_the_order_of_their_places() -> None:
    workers = [Worker(a_pod(n), Look(state=a_state())) for n in (10, 2, 0)]
    status = report(a_pool(11), *workers)

    assert [each.name for each in status.workers] == [f"pages-{n}" for n in range(11)]
    assert status.workers[1].phase == "Waiting"
