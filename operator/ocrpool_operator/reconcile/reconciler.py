"""One round for one pool: observe, plan, act, and say how it is.

Idempotent, and the same behind every event, timer and restart: it looks at what is there and does
the next thing, so it may be ended between any two calls. With nothing to do it writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
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
from ocrpool.planner.status.invalid_spec import invalid_spec_status
from ocrpool.planner.status.report import ReconcileResult, build_status
from ocrpool.planner.workers.desired_replicas import DesiredReplicas, autoscaling_report
from ocrpool.planner.workers.failures import failures_from_status
from ocrpool.planner.workers.plan import WorkerPlan, may_evict, plan_workers
from ocrpool.planner.workers.revision import revision_of
from ocrpool.resource.names import OPERATOR, WORKER_IMAGE, proxy_selector, selector_of
from ocrpool.resource.status import PoolStatus
from ocrpool_operator.cluster.api_errors import PersistentError, persistent_problem
from ocrpool_operator.cluster.cache import Key, PoolCache
from ocrpool_operator.cluster.client import PODS, ApiError, KubeClient
from ocrpool_operator.cluster.events import EventRecorder
from ocrpool_operator.cluster.owners import (
    foreign_pod_problems,
    merge_name_conflicts,
    owned_proxy_pods,
    owned_worker_pods,
)
from ocrpool_operator.cluster.parse import pod_from
from ocrpool_operator.cluster.retry_backoff import RetryBackoff
from ocrpool_operator.cluster.worker_client import WorkerClient
from ocrpool_operator.manifests.network_policies import IngressRules
from ocrpool_operator.metrics import OperatorMetrics
from ocrpool_operator.reconcile.control_token import ControlTokens
from ocrpool_operator.reconcile.instance_scaling import InstanceScaling
from ocrpool_operator.reconcile.owned_objects import OwnedObjects
from ocrpool_operator.reconcile.plan_executor import PlanExecutor
from ocrpool_operator.reconcile.pool_object import PoolObjectWriter
from ocrpool_operator.reconcile.status_writer import StatusWriter
from ocrpool_operator.reconcile.worker_scaling import WorkerScaling

_log = logging.getLogger(__name__)
# After an action, its effect is looked for this soon.
SOON_SECONDS = 1.0
# A pod whose deletion a broken watch has swallowed is noticed after this long at the latest.
RESYNC_SECONDS = 60.0


Views = Callable[[Iterable[ObservedPod]], Awaitable[Mapping[str, frozenset[str]]]]


async def _no_views(pods: Iterable[ObservedPod]) -> Mapping[str, frozenset[str]]:
    return {}


@dataclass(frozen=True)
class Dependencies:
    """What a reconciler works with."""

    cache: PoolCache
    client: KubeClient
    workers: WorkerClient
    scaling: InstanceScaling
    events: EventRecorder
    metrics: OperatorMetrics
    # Seconds since the epoch: for what is written in the cluster.
    now: Callable[[], float]
    worker_image: str = WORKER_IMAGE
    ingress: IngressRules = None
    # What the pods of a proxy see of the workers: addresses by the pod's uid.
    views: Views = _no_views
    # The cluster's, for the names of Services.
    domain: str = "cluster.local"
    # Pools of another operator's name are left alone.
    operator: str = OPERATOR
    # Monotonic seconds: for what is remembered here.
    clock: Callable[[], float] = time.monotonic


class Reconciler:
    """Makes pools as they were asked for. One call for a pool at a time."""

    def __init__(self, parts: Dependencies, *, interval: float) -> None:
        self._parts = parts
        self._interval = interval
        self._tokens = ControlTokens(parts.client)
        self._backoff = RetryBackoff(parts.clock)
        self._owned_objects = OwnedObjects(
            parts.cache,
            parts.client,
            self._backoff,
            domain=parts.domain,
            ingress=parts.ingress,
        )
        self._executor = PlanExecutor(
            parts.cache,
            parts.client,
            parts.workers,
            parts.events,
            backoff=self._backoff,
            now=parts.now,
        )
        self._ownership = PoolObjectWriter(parts.cache, parts.client)
        self._statuses = StatusWriter(self._ownership, parts.events)
        self._demand = WorkerScaling(parts.events)
        self._listed: dict[Key, float] = {}
        self._proxies_listed: dict[Key, float] = {}

    async def reconcile(self, key: Key) -> float | None:
        """One round. Answers the seconds until the next one, None where the pool is gone.

        Raises ApiError where the API server is not to be had; everything else that can be said in
        the status is said there.
        """
        pool = self._parts.cache.pools.get(key)
        if pool is None or pool.operator != self._parts.operator:
            self._forget(key)
            return None
        if pool.invalid_reason and not pool.deleting:
            return await self._freeze(pool)
        pool = replace(pool, spec=pool.spec.with_image(self._parts.worker_image))
        if not pool.deleting and not pool.has_finalizer:
            pool = await self._ownership.take(pool)
        troubles: list[PoolProblem] = []
        token = await self._token(pool, troubles)
        seen, planned, wanted = await self._observe(pool, token, troubles)
        pool = seen.pool
        if not pool.deleting:
            evict = may_evict(seen)
            troubles += await self._owned_objects.ensure(
                pool, self._parts.clock(), evict=evict, secret=bool(token)
            )
            if not token or not self._owned_objects.has_settings(pool):
                # What a worker mounts is not there, or is not ours: none is made or ended.
                planned = replace(planned, actions=())
        done = await self._executor.execute(pool, seen, planned, token)
        troubles = merge_name_conflicts([*troubles, *done.troubles])
        troubles += foreign_pod_problems(pool, self._foreign(pool))
        if pool.deleting and not self._own(pool):
            await self._ownership.release(pool)
            self._tokens.doubt(pool)
            self._forget(key)
            return None
        seen = self._after(seen)
        scaled = await self._parts.scaling.round(pool, seen, token)
        seen = replace(seen, workers=_with_looks(seen.workers, scaled.looks))
        report = autoscaling_report(pool, wanted.decision, seen.now)
        this = ReconcileResult(seen, planned, scaled.decisions, done.failures, troubles, report)
        await self._report(pool, build_status(this))
        await self._demand.tell(pool, wanted)
        return self._next(planned, seen, done.moved)

    async def _token(self, pool: ObservedPool, troubles: list[PoolProblem]) -> str:
        what = "Secret"
        refused = self._backoff.pending(pool, what)
        if refused is not None:
            troubles.append(refused)
            return ""
        try:
            token = await self._tokens.of(pool, self._parts.clock())
        except PersistentError as error:
            troubles.append(error.problem)
        except ApiError as error:
            if error.status == 404 and pool.deleting:
                return ""
            trouble = persistent_problem(error)
            self._backoff.record_refusal(pool, what, trouble)
            troubles.append(trouble)
        else:
            self._backoff.clear(pool, what)
            return token
        return ""

    async def _observe(
        self, pool: ObservedPool, token: str, troubles: list[PoolProblem]
    ) -> tuple[PoolSnapshot, WorkerPlan, DesiredReplicas]:
        """What is there, and the plan. What is planned from the cache is only carried out if it
        is planned again from a fresh list: watches may be late. Where that list is refused,
        nothing is done, and the refusal is told."""
        parts, key = self._parts, pool.key
        looks, proxy = await asyncio.gather(
            parts.workers.fetch_states(self._own(pool), token), self._proxy(pool, troubles)
        )
        wanted = self._demand.look(
            pool,
            self._workers(pool, looks),
            parts.scaling.reasons(key),
            parts.clock(),
            wall=parts.now(),
        )
        pool = replace(pool, decided_replicas=wanted.workers)
        seen = self._seen(pool, looks, proxy, wanted)
        planned = plan_workers(seen)
        stale = parts.clock() - self._listed.get(key, -math.inf) >= RESYNC_SECONDS
        if planned.actions or stale or pool.deleting:
            try:
                bodies = await parts.client.list(PODS, pool.namespace, selector_of(pool.name))
            except ApiError as error:
                if pool.deleting:  # an empty cache must not pass for "all are gone"
                    raise
                troubles.append(persistent_problem(error))
                return seen, replace(planned, actions=()), wanted
            parts.cache.replace_pods(key, map(pod_from, bodies))
            self._listed[key] = parts.clock()
            new = [pod for pod in self._own(pool) if pod.uid not in looks]
            looks = looks | await parts.workers.fetch_states(new, token)
            seen = self._seen(pool, looks, proxy, wanted)
            planned = plan_workers(seen)
        if any("401" in look.error for look in looks.values()):
            self._tokens.doubt(pool)
        return seen, planned, wanted

    async def _proxy(self, pool: ObservedPool, troubles: list[PoolProblem]) -> ObservedProxy | None:
        if pool.spec.proxy is None:
            return None
        parts, key = self._parts, pool.key
        if parts.clock() - self._proxies_listed.get(key, -math.inf) >= RESYNC_SECONDS:
            try:
                bodies = await parts.client.list(PODS, pool.namespace, proxy_selector(pool.name))
            except ApiError as error:
                troubles.append(persistent_problem(error))
            else:
                pods = [pod_from(body, template="proxy") for body in bodies]
                parts.cache.replace_proxy_pods(key, pods)
                self._proxies_listed[key] = parts.clock()
        proxy = ObservedProxy(owned_proxy_pods(pool, parts.cache.proxy_pods(key)))
        return replace(proxy, backends=await parts.views(proxy.ready))

    def _workers(
        self, pool: ObservedPool, looks: Mapping[str, WorkerObservation]
    ) -> tuple[ObservedWorker, ...]:
        return tuple(
            ObservedWorker(pod, looks.get(pod.uid, WorkerObservation())) for pod in self._own(pool)
        )

    def _own(self, pool: ObservedPool) -> tuple[ObservedPod, ...]:
        """The pods of its workers."""
        return owned_worker_pods(pool, self._parts.cache.pods(pool.key))

    def _foreign(self, pool: ObservedPool) -> tuple[ObservedPod, ...]:
        """The others that bear their labels."""
        return tuple(pod for pod in self._parts.cache.pods(pool.key) if pod.owner_uid != pool.uid)

    def _seen(
        self,
        pool: ObservedPool,
        looks: Mapping[str, WorkerObservation],
        proxy: ObservedProxy | None,
        wanted: DesiredReplicas,
    ) -> PoolSnapshot:
        workers = self._workers(pool, looks)
        now = self._parts.now()
        return PoolSnapshot(
            pool,
            revision_of(pool.spec),
            workers,
            now,
            failures_from_status(pool.status, workers, now),
            proxy,
            wanted.evictable,
        )

    def _after(self, seen: PoolSnapshot) -> PoolSnapshot:
        """The same with the pods as they are after what was done to them."""
        looks = {worker.pod.uid: worker.observation for worker in seen.workers}
        return replace(seen, workers=self._workers(seen.pool, looks))

    async def _freeze(self, pool: ObservedPool) -> float:
        """Nothing is done for a pool whose spec cannot be read; it says so."""
        await self._report(pool, invalid_spec_status(pool, self._own(pool), self._parts.now()))
        return self._interval

    async def _report(self, pool: ObservedPool, status: PoolStatus) -> None:
        self._parts.metrics.set_pool(pool.namespace, pool.name, status)
        await self._statuses.write(pool, status)

    def _next(self, planned: WorkerPlan, seen: PoolSnapshot, acted: bool) -> float:
        if acted:
            return SOON_SECONDS
        delays = [
            self._interval,
            self._parts.scaling.due_in(seen.pool.key),
            self._backoff.next_retry(seen.pool) - self._parts.clock(),
        ]
        if planned.wake_at is not None:
            delays.append(planned.wake_at - seen.now)
        return max(0.1, min(delays))

    def _forget(self, key: Key) -> None:
        self._listed.pop(key, None)
        self._proxies_listed.pop(key, None)
        self._backoff.drop_pool(key)
        self._statuses.forget(key)
        self._parts.scaling.forget(key)
        self._demand.forget(key)
        self._parts.metrics.drop_pool(*key)


def _with_looks(
    workers: tuple[ObservedWorker, ...], looks: Mapping[str, WorkerObservation]
) -> tuple[ObservedWorker, ...]:
    return tuple(
        replace(each, observation=looks.get(each.pod.uid, each.observation)) for each in workers
    )
