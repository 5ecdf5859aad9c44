"""One round for one pool: observe, plan, act, report.

A round is idempotent. It does the same after an event, a timer and a restart: it observes the pool
and does what is to be done next. So it may be interrupted between any two calls. If there is
nothing to do, it writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ocrpool.planner.observed import (
    ObservedPool,
    ObservedWorker,
    PoolProblem,
    PoolSnapshot,
    WorkerObservation,
)
from ocrpool.planner.status.invalid_spec import invalid_spec_status
from ocrpool.planner.status.report import ReconcileResult, build_status
from ocrpool.planner.workers.desired_replicas import DesiredReplicas, autoscaling_report
from ocrpool.planner.workers.plan import WorkerPlan, may_evict, plan_workers
from ocrpool.resource.status import PoolStatus
from ocrpool_operator.cluster.api_errors import persistent_problem
from ocrpool_operator.cluster.cache import Key
from ocrpool_operator.cluster.client import ApiError
from ocrpool_operator.cluster.owners import foreign_pod_problems, merge_name_conflicts
from ocrpool_operator.reconcile.control_token import ControlTokens
from ocrpool_operator.reconcile.dependencies import Dependencies
from ocrpool_operator.reconcile.guarded_call import GuardedCalls
from ocrpool_operator.reconcile.observer import PoolObserver
from ocrpool_operator.reconcile.owned_objects import OwnedObjects
from ocrpool_operator.reconcile.plan_executor import ActionResults, PlanExecutor
from ocrpool_operator.reconcile.pool_object import PoolObjectWriter
from ocrpool_operator.reconcile.status_writer import StatusWriter
from ocrpool_operator.reconcile.worker_scaling import WorkerScaling

# The next round after an action: soon, to see its effect.
AFTER_ACTION_SECONDS = 1.0
# The next round is never sooner than this.
_MIN_PAUSE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _Planned:
    """What was observed, what is planned, and what prevents either."""

    snapshot: PoolSnapshot
    plan: WorkerPlan
    desired: DesiredReplicas
    problems: tuple[PoolProblem, ...]


class Reconciler:
    """Makes pools as their specs ask for. One round at a time for each pool."""

    def __init__(self, dependencies: Dependencies, *, interval: float) -> None:
        self._deps = deps = dependencies
        self._interval = interval
        self._guarded = GuardedCalls(deps.clock)
        self._tokens = ControlTokens(deps.client, self._guarded, deps.clock)
        self._observer = PoolObserver(deps)
        self._worker_scaling = WorkerScaling(deps.events)
        self._owned_objects = OwnedObjects(
            deps.cache,
            deps.client,
            self._guarded,
            clock=deps.clock,
            domain=deps.domain,
            ingress=deps.ingress,
        )
        self._executor = PlanExecutor(
            deps.cache,
            deps.client,
            deps.workers,
            deps.events,
            guarded=self._guarded,
            now=deps.now,
        )
        self._pool_object = PoolObjectWriter(deps.cache, deps.client)
        self._status = StatusWriter(self._pool_object, deps.events)

    async def reconcile(self, key: Key) -> float | None:
        """Run one round. Returns the seconds until the next one, or None if the pool is gone.

        Every problem that the status can report is reported there. Raises ApiError if the API
        server is unavailable.
        """
        pool = self._deps.cache.pools.get(key)
        if pool is None or pool.operator != self._deps.operator:
            self._forget(key)
            return None
        if pool.invalid_reason and not pool.deleting:
            return await self._report_invalid_spec(pool)
        pool = await self._with_finalizer(pool)
        token, problems = await self._obtain_token(pool)
        planned = await self._observe_and_plan(pool, token, problems)
        planned, done = await self._act(planned, token)
        if pool.deleting and not self._observer.worker_pods(pool):
            await self._finish_deletion(planned.snapshot.pool)
            return None
        snapshot = await self._scale_and_report(planned, done, token)
        return self._seconds_until_next_round(snapshot, planned.plan, done)

    async def _with_finalizer(self, pool: ObservedPool) -> ObservedPool:
        pool = replace(pool, spec=pool.spec.with_image(self._deps.worker_image))
        if pool.deleting or pool.has_finalizer:
            return pool
        return await self._pool_object.add_finalizer(pool)

    async def _obtain_token(self, pool: ObservedPool) -> tuple[str, tuple[PoolProblem, ...]]:
        result = await self._tokens.obtain(pool)
        return result.value or "", () if result.problem is None else (result.problem,)

    async def _observe_and_plan(
        self, pool: ObservedPool, token: str, problems: Sequence[PoolProblem]
    ) -> _Planned:
        """Plan from the cache. If that plan has actions, list the pods and plan again: the cache
        may be behind the API server. If the list is refused, nothing is done."""
        observation = await self._observer.observe(pool, token)
        problems = (*problems, *observation.problems)
        desired = self._worker_scaling.decide(
            pool,
            self._observer.workers(pool, observation.workers),
            self._deps.scaling.reported_reasons(pool.key),
            self._deps.clock(),
            wall=self._deps.now(),
        )
        pool = replace(pool, decided_replicas=desired.workers)
        snapshot = self._observer.snapshot(pool, observation, desired)
        plan = plan_workers(snapshot)
        if plan.actions or pool.deleting or self._observer.is_list_due(pool):
            try:
                observation = await self._observer.list_pods(pool, token, observation)
            except ApiError as error:
                if pool.deleting:  # an empty cache does not mean that all pods are gone
                    raise
                problems = (*problems, persistent_problem(error))
                return _Planned(snapshot, replace(plan, actions=()), desired, problems)
            snapshot = self._observer.snapshot(pool, observation, desired)
            plan = plan_workers(snapshot)
        if observation.token_refused:
            self._tokens.invalidate(pool)
        return _Planned(snapshot, plan, desired, problems)

    async def _act(self, planned: _Planned, token: str) -> tuple[_Planned, ActionResults]:
        """Make the owned objects as desired, then carry out the plan. Returns the plan as it was
        carried out, and all problems so far."""
        snapshot, plan, problems = planned.snapshot, planned.plan, planned.problems
        pool = snapshot.pool
        if not pool.deleting:
            found = await self._owned_objects.ensure(
                pool, evict=may_evict(snapshot), has_secret=bool(token)
            )
            problems = (*problems, *found)
            if not token or not self._owned_objects.has_settings(pool):
                # A worker mounts the Secret and the ConfigMap. Without them no worker is created,
                # and none is deleted.
                plan = replace(plan, actions=())
        done = await self._executor.execute(pool, snapshot, plan, token)
        problems = (
            *merge_name_conflicts([*problems, *done.problems]),
            *foreign_pod_problems(pool, self._observer.foreign_pods(pool)),
        )
        return replace(planned, plan=plan, problems=problems), done

    async def _scale_and_report(
        self, planned: _Planned, done: ActionResults, token: str
    ) -> PoolSnapshot:
        """Set the workers' numbers of instances, and write the status."""
        snapshot = self._observer.with_cached_pods(planned.snapshot)
        pool = snapshot.pool
        scaled = await self._deps.scaling.scale(pool, snapshot, token)
        snapshot = replace(snapshot, workers=_with_states(snapshot.workers, scaled.observations))
        result = ReconcileResult(
            snapshot,
            planned.plan,
            scaled.decisions,
            done.failures,
            planned.problems,
            autoscaling_report(pool, planned.desired.decision, snapshot.now),
        )
        await self._report(pool, build_status(result))
        await self._worker_scaling.post_change(pool, planned.desired)
        return snapshot

    async def _report_invalid_spec(self, pool: ObservedPool) -> float:
        """Report a spec that the operator cannot follow, and change nothing else."""
        pods = self._observer.worker_pods(pool)
        await self._report(pool, invalid_spec_status(pool, pods, self._deps.now()))
        return self._interval

    async def _report(self, pool: ObservedPool, status: PoolStatus) -> None:
        self._deps.metrics.set_pool(pool.namespace, pool.name, status)
        await self._status.write(pool, status)

    async def _finish_deletion(self, pool: ObservedPool) -> None:
        """All workers are gone: let Kubernetes delete the pool and its other objects."""
        await self._pool_object.remove_finalizer(pool)
        self._tokens.invalidate(pool)
        self._forget(pool.key)

    def _seconds_until_next_round(
        self, snapshot: PoolSnapshot, plan: WorkerPlan, done: ActionResults
    ) -> float:
        if done.changed:
            return AFTER_ACTION_SECONDS
        delays = [
            self._interval,
            self._deps.scaling.seconds_until_due(snapshot.pool.key),
            self._guarded.seconds_until_retry(snapshot.pool),
        ]
        if plan.wake_at is not None:
            delays.append(plan.wake_at - snapshot.now)
        return max(_MIN_PAUSE_SECONDS, min(delays))

    def _forget(self, key: Key) -> None:
        """Drop what is remembered of a pool that is gone, or that another operator follows."""
        self._observer.forget_pool(key)
        self._guarded.forget_pool(key)
        self._owned_objects.forget_pool(key)
        self._status.forget_pool(key)
        self._deps.scaling.forget_pool(key)
        self._worker_scaling.forget_pool(key)
        self._deps.metrics.drop_pool(*key)


def _with_states(
    workers: tuple[ObservedWorker, ...], states: Mapping[str, WorkerObservation]
) -> tuple[ObservedWorker, ...]:
    """The workers with the states that replace those observed at the start of the round."""
    return tuple(
        replace(each, observation=states.get(each.pod.uid, each.observation)) for each in workers
    )
