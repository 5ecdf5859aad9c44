"""The number of workers of every pool: the planner's memory between rounds.

What must survive a restart is in the status (`desiredReplicas`) and on the pods; the rest begins
anew, and a window that begins anew gives nothing back before it is full.
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
    """Decides in every round of a pool."""

    def __init__(self, events: EventRecorder) -> None:
        self._events = events
        self._pools: dict[Key, ReplicaHistory] = {}

    def look(
        self,
        pool: ObservedPool,
        workers: tuple[ObservedWorker, ...],
        told: Mapping[str, InstanceReason],
        now: float,
        *,
        wall: float,
    ) -> DesiredReplicas:
        """What the pool wants now, in monotonic seconds; `wall`: the same moment since the epoch.
        `told`: reasons of the workers' instances, by uid."""
        memory = self._pools.get(pool.key, ReplicaHistory())
        wanted = decide_desired_replicas(pool, workers, told, memory, now, wall=wall)
        self._pools[pool.key] = wanted.memory
        return wanted

    async def tell(self, pool: ObservedPool, wanted: DesiredReplicas) -> None:
        """An Event where autoscaling changed the number; after the status says so."""
        before, decision = pool.status.desired_replicas, wanted.decision
        if decision is None or before in (decision.desired, 0):
            return
        reason = "ScaledUp" if decision.desired > before else "ScaledDown"
        await self._events.post(pool, reason, decision.sentence)

    def forget(self, key: Key) -> None:
        """The pool is gone."""
        self._pools.pop(key, None)
