"""Count how many times in a row each pod of a pool was replaced after a failure.

The counts are kept in the status, so that a restart of the operator does not reset a back-off.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocrpool.planner.observed import FailureCount, ObservedWorker
from ocrpool.planner.timestamps import parse_timestamp
from ocrpool.planner.workers.plan import HEALTHY_SECONDS, DeletePod, WorkerAction
from ocrpool.resource.status import PoolStatus


def failures_from_status(
    status: PoolStatus, workers: Sequence[ObservedWorker], now: float
) -> dict[str, FailureCount]:
    """Return the counts in the status, without pods that were ready for HEALTHY_SECONDS."""
    healthy = {
        worker.pod.name
        for worker in workers
        if worker.pod.ready
        and now - max(worker.pod.created_at, worker.pod.ready_changed_at) >= HEALTHY_SECONDS
    }
    return {
        each.name: FailureCount(each.failures, parse_timestamp(each.failed_at) or 0.0)
        for each in status.workers
        if each.failures and each.name not in healthy
    }


def count_failures(
    failures: dict[str, FailureCount], done: Sequence[WorkerAction], now: float
) -> dict[str, FailureCount]:
    """Return the counts after these actions."""
    found = dict(failures)
    for action in done:
        if isinstance(action, DeletePod) and action.failed:
            before = found.get(action.pod.name, FailureCount(0, 0.0))
            found[action.pod.name] = FailureCount(before.times + 1, float(int(now)))
    return found
