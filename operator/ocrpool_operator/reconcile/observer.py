"""Observes a pool: its pods in the cache or on the API server, its workers and its proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ocrpool.planner.observed import (
    ObservedPod,
    ObservedPool,
    ObservedProxy,
    ObservedWorker,
    PoolProblem,
    PoolSnapshot,
    WorkerObservation,
)
from ocrpool.planner.workers.desired_replicas import DesiredReplicas
from ocrpool.planner.workers.failures import failures_from_status
from ocrpool.planner.workers.revision import revision_of
from ocrpool.resource.names import proxy_selector, selector_of
from ocrpool_operator.cluster.api_errors import persistent_problem
from ocrpool_operator.cluster.cache import Key
from ocrpool_operator.cluster.client import PODS, ApiError
from ocrpool_operator.cluster.owners import owned_proxy_pods, owned_worker_pods
from ocrpool_operator.cluster.parse import pod_from
from ocrpool_operator.cluster.resync import ResyncTimer
from ocrpool_operator.reconcile.dependencies import Dependencies

# A broken watch can miss the deletion of a pod. A list finds it after this long at the latest.
RESYNC_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PoolObservation:
    """What the workers and the proxy answered, and what could not be observed."""

    # By uid of the pod.
    workers: Mapping[str, WorkerObservation]
    proxy: ObservedProxy | None
    problems: tuple[PoolProblem, ...] = ()

    @property
    def token_refused(self) -> bool:
        """Whether a worker refuses the control token."""
        return any("401" in each.error for each in self.workers.values())


class PoolObserver:
    """Reads the state of pools. Changes nothing but the cache."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._deps = dependencies
        self._pod_lists = ResyncTimer(RESYNC_SECONDS, dependencies.clock)
        self._proxy_lists = ResyncTimer(RESYNC_SECONDS, dependencies.clock)

    async def observe(self, pool: ObservedPool, token: str) -> PoolObservation:
        """Ask the workers in the cache for their state, and the proxy for its backends. Raises
        ApiError if the API server is unavailable."""
        workers, (proxy, problems) = await asyncio.gather(
            self._deps.workers.fetch_states(self.worker_pods(pool), token),
            self._observe_proxy(pool),
        )
        return PoolObservation(workers, proxy, problems)

    async def list_pods(
        self, pool: ObservedPool, token: str, before: PoolObservation
    ) -> PoolObservation:
        """Replace the cached pods by those on the API server, and ask those that were not in the
        cache for their state. Raises ApiError."""
        bodies = await self._deps.client.list(PODS, pool.namespace, selector_of(pool.name))
        self._deps.cache.replace_pods(pool.key, map(pod_from, bodies))
        self._pod_lists.record_list(pool.key)
        new = [pod for pod in self.worker_pods(pool) if pod.uid not in before.workers]
        found = await self._deps.workers.fetch_states(new, token)
        return replace(before, workers={**before.workers, **found})

    def is_list_due(self, pool: ObservedPool) -> bool:
        """Whether the pods were last listed too long ago."""
        return self._pod_lists.is_due(pool.key)

    def snapshot(
        self, pool: ObservedPool, observation: PoolObservation, desired: DesiredReplicas
    ) -> PoolSnapshot:
        """Everything that a plan is made from."""
        workers = self.workers(pool, observation.workers)
        now = self._deps.now()
        return PoolSnapshot(
            pool,
            revision_of(pool.spec),
            workers,
            now,
            failures_from_status(pool.status, workers, now),
            observation.proxy,
            desired.evictable,
        )

    def with_cached_pods(self, snapshot: PoolSnapshot) -> PoolSnapshot:
        """The snapshot with the pods as they are in the cache now, after they were changed."""
        states = {each.pod.uid: each.observation for each in snapshot.workers}
        return replace(snapshot, workers=self.workers(snapshot.pool, states))

    def workers(
        self, pool: ObservedPool, states: Mapping[str, WorkerObservation]
    ) -> tuple[ObservedWorker, ...]:
        """The pool's worker pods, each with its worker's state."""
        return tuple(
            ObservedWorker(pod, states.get(pod.uid, WorkerObservation()))
            for pod in self.worker_pods(pool)
        )

    def worker_pods(self, pool: ObservedPool) -> tuple[ObservedPod, ...]:
        """The pods of the pool's workers in the cache."""
        return owned_worker_pods(pool, self._deps.cache.pods(pool.key))

    def foreign_pods(self, pool: ObservedPool) -> tuple[ObservedPod, ...]:
        """Pods in the cache that have the labels of the pool's workers and are not the pool's."""
        return tuple(pod for pod in self._deps.cache.pods(pool.key) if pod.owner_uid != pool.uid)

    def forget_pool(self, key: Key) -> None:
        """Forget when the pods of a pool that is gone were listed."""
        self._pod_lists.forget_pool(key)
        self._proxy_lists.forget_pool(key)

    async def _observe_proxy(
        self, pool: ObservedPool
    ) -> tuple[ObservedProxy | None, tuple[PoolProblem, ...]]:
        if pool.spec.proxy is None:
            return None, ()
        problems: tuple[PoolProblem, ...] = ()
        if self._proxy_lists.is_due(pool.key):
            try:
                await self._list_proxy_pods(pool)
            except ApiError as error:
                problems = (persistent_problem(error),)
        proxy = ObservedProxy(owned_proxy_pods(pool, self._deps.cache.proxy_pods(pool.key)))
        backends = await self._deps.fetch_backends(proxy.ready)
        return replace(proxy, backends=backends), problems

    async def _list_proxy_pods(self, pool: ObservedPool) -> None:
        bodies = await self._deps.client.list(PODS, pool.namespace, proxy_selector(pool.name))
        pods = [pod_from(body, template="proxy") for body in bodies]
        self._deps.cache.replace_proxy_pods(pool.key, pods)
        self._proxy_lists.record_list(pool.key)
