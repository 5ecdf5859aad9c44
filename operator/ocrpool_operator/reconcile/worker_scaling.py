"""Decides the number of workers of every pool, and remembers what the planner needs for it.

What a restart of the operator must not lose is in the status (`desiredReplicas`) and on the pods.
The rest starts again: a stabilization window that starts again removes no worker until it is full.
"""

from __future__ import annotations

from collections.abc import Mapping

from ocrpool.planner.instances.types import InstanceReason
from ocrpool.planner.observed import ObservedPool, ObservedWorker
from ocrpool.planner.workers.desired_replicas import (
    DesiredReplicas,
    ReplicaHistory,
    decide_desired_replicas,
)
from ocrpool_operator.cluster.cache import Key
from ocrpool_operator.cluster.events import EventRecorder


class WorkerScaling:
    """Decides once in every round of a pool."""

    def __init__(self, events: EventRecorder) -> None:
        self._events = events
        self._pools: dict[Key, ReplicaHistory] = {}

    def decide(
        self,
        pool: ObservedPool,
        workers: tuple[ObservedWorker, ...],
        reasons: Mapping[str, InstanceReason],
        now: float,
        *,
        wall: float,
    ) -> DesiredReplicas:
        """The number of workers that the pool needs. `reasons`: of the workers' numbers of
        instances, by uid. `now`: monotonic seconds; `wall`: the same moment since the epoch."""
        history = self._pools.get(pool.key, ReplicaHistory())
        desired = decide_desired_replicas(pool, workers, reasons, history, now, wall=wall)
        self._pools[pool.key] = desired.memory
        return desired

    async def post_change(self, pool: ObservedPool, desired: DesiredReplicas) -> None:
        """Post an Event if autoscaling changed the number, after the status has it."""
        before, decision = pool.status.desired_replicas, desired.decision
        if decision is None or before in (decision.desired, 0):
            return
        reason = "ScaledUp" if decision.desired > before else "ScaledDown"
        await self._events.post(pool, reason, decision.sentence)

    def forget_pool(self, key: Key) -> None:
        """Forget the history of a pool that is gone."""
        self._pools.pop(key, None)
