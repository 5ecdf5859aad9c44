"""A pool with an invalid spec reports it and keeps its workers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ocrpool.planner.observed import ObservedWorker, WorkerObservation
from ocrpool.planner.status.invalid_spec import invalid_spec_status
from ocrpool.planner.status.report import ReconcileResult, build_status
from ocrpool.planner.workers.plan import plan_workers
from ocrpool_operator.cluster.parse import pool_from
from tests.unit.planner.pools import a_pod, a_pool, a_seen, a_state


def a_body(**spec: Any) -> dict[str, Any]:
    meta = {"namespace": "default", "name": "pages", "uid": "uid", "generation": 3}
    return {"metadata": meta, "spec": {"device": "cpu", **spec}}


def test_invalid_reason_names_the_field() -> None:
    pool = pool_from(a_body(admission={"queue": "many"}))

    assert pool.invalid_reason.startswith("spec.admission.queue: ")
    assert pool_from(a_body()).invalid_reason == ""


def test_last_status_is_kept_with_current_counts() -> None:
    workers = [ObservedWorker(a_pod(n), WorkerObservation(state=a_state())) for n in range(2)]
    seen = a_seen(a_pool(2), *workers)
    status = build_status(ReconcileResult(seen, plan_workers(seen)))
    invalid = replace(
        a_pool(2, generation=3), status=status, invalid_reason="spec.queue: no number"
    )
    frozen = invalid_spec_status(invalid, [a_pod(0), a_pod(1, ready=False)], 2000.0)

    assert frozen.workers == status.workers
    assert (frozen.replicas, frozen.ready_replicas, frozen.desired_replicas) == (2, 1, 2)
    assert frozen.observed_generation == 3
    told = {each.type: each for each in frozen.conditions}
    assert (told["Degraded"].status, told["Degraded"].reason) == ("True", "InvalidSpec")
    assert "spec.queue: no number" in told["Degraded"].message
    assert (told["Ready"].status, told["Ready"].reason) == ("False", "InvalidSpec")
    assert invalid_spec_status(
        replace(invalid, status=frozen), [a_pod(0), a_pod(1, ready=False)], 3e3
    ) == (frozen)


def test_pool_that_never_had_a_valid_spec_is_not_ready() -> None:
    frozen = invalid_spec_status(
        replace(a_pool(2), invalid_reason="spec.queue: no number"), [], 1000.0
    )

    assert {each.type: each.reason for each in frozen.conditions}["Ready"] == "InvalidSpec"
