"""How often in a row each place of a pool failed: kept in the status, so that a restart of the
operator does not forget a back-off."""

from __future__ import annotations

from collections.abc import Sequence

from ocrpool.planner.observed import Failure, Worker
from ocrpool.planner.timestamps import seconds_of
from ocrpool.planner.workers.plan import SOUND_SECONDS, Action, Delete
from ocrpool.resource.status import PoolStatus


def failures_of(status: PoolStatus, workers: Sequence[Worker], now: float) -> dict[str, Failure]:
    """What the status remembers, less the places whose pod has served for long enough."""
    sound = {
        worker.pod.name
        for worker in workers
        if worker.pod.ready and now - max(worker.pod.created, worker.pod.turned) >= SOUND_SECONDS
    }
    return {
        each.name: Failure(each.failures, seconds_of(each.failed_at) or 0.0)
        for each in status.workers
        if each.failures and each.name not in sound
    }


def counted(failures: dict[str, Failure], done: Sequence[Action], now: float) -> dict[str, Failure]:
    """The same after what was done."""
    found = dict(failures)
    for action in done:
        if isinstance(action, Delete) and action.failed:
            before = found.get(action.pod.name, Failure(0, 0.0))
            found[action.pod.name] = Failure(before.times + 1, float(int(now)))
    return found
