"""Carries out the plan of a round: creates pods, takes them out of the Service, drains, deletes."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ocrpool.planner.observed import (
    FailureCount,
    ObservedPod,
    ObservedPool,
    PoolProblem,
    PoolSnapshot,
)
from ocrpool.planner.workers.failures import count_failures
from ocrpool.planner.workers.plan import (
    CreatePod,
    DeletePod,
    DrainWorker,
    MarkEvictable,
    RemoveFromService,
    RestoreToService,
    WorkerAction,
    WorkerPlan,
)
from ocrpool.resource import names
from ocrpool_operator.cluster.api_errors import PersistentError
from ocrpool_operator.cluster.cache import PoolCache
from ocrpool_operator.cluster.client import PODS, ApiError, KubeClient
from ocrpool_operator.cluster.events import EventRecorder
from ocrpool_operator.cluster.owners import NAME_TAKEN, name_taken, owns
from ocrpool_operator.cluster.parse import pod_from
from ocrpool_operator.cluster.worker_client import WorkerClient
from ocrpool_operator.manifests.drift import json_patch_to
from ocrpool_operator.manifests.metadata import Object
from ocrpool_operator.manifests.worker_pod import pod_lifecycle_patch, worker_pod
from ocrpool_operator.reconcile.guarded_call import GuardedCalls

# The API server gets at most this many calls at once for one pool.
MAX_CONCURRENT_ACTIONS = 8
# An Event about several workers lists at most this many names.
_MAX_NAMES_IN_EVENT = 10


@dataclass(frozen=True)
class ActionResults:
    """What executing a plan changed, and what it could not do."""

    problems: tuple[PoolProblem, ...]
    failures: dict[str, FailureCount]
    # An action was done, or its object was changed by others: the next round finds a new state.
    changed: bool


class _Effect(enum.Enum):
    """What an action found or did."""

    DONE = enum.auto()
    # The pod is gone: there is nothing to do.
    GONE = enum.auto()
    # Somebody changed the pod meanwhile: the next round decides again.
    CONFLICT = enum.auto()


class PlanExecutor:
    """Makes the calls to the API server and to the workers that a plan asks for."""

    def __init__(
        self,
        cache: PoolCache,
        client: KubeClient,
        workers: WorkerClient,
        events: EventRecorder,
        *,
        guarded: GuardedCalls,
        now: Callable[[], float],
    ) -> None:
        self._cache = cache
        self._client = client
        self._workers = workers
        self._events = events
        self._guarded = guarded
        self._now = now

    async def execute(
        self, pool: ObservedPool, snapshot: PoolSnapshot, plan: WorkerPlan, token: str
    ) -> ActionResults:
        """Try every action of the plan, and return what came of them.

        An action that the API server refuses becomes a problem of the pool, and is tried again
        after a pause. Raises ApiError, after all actions were tried, if the API server is
        unavailable.
        """
        gate = asyncio.Semaphore(MAX_CONCURRENT_ACTIONS)
        problems: list[PoolProblem] = []
        done: list[WorkerAction] = []
        conflicts = 0

        async def attempt(action: WorkerAction) -> None:
            nonlocal conflicts
            async with gate:
                result = await self._guarded.attempt(
                    pool,
                    f"{type(action).__name__} {_pod_name(action)}",
                    lambda: self._try(pool, snapshot, action, token),
                    ends_pause=lambda problem: self._is_name_free(pool, action, problem),
                )
            if result.problem is not None:
                problems.append(result.problem)
            elif result.value is _Effect.DONE:
                done.append(action)
            elif result.value is _Effect.CONFLICT:
                conflicts += 1

        results = await asyncio.gather(
            *(attempt(action) for action in plan.actions), return_exceptions=True
        )
        await self._post_created(pool, [each for each in done if isinstance(each, CreatePod)])
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return ActionResults(
            # Sorted: the status is written again whenever their order changes.
            problems=tuple(sorted(problems, key=lambda each: each.message)),
            failures=count_failures(dict(snapshot.failures), done, self._now()),
            changed=bool(done) or conflicts > 0,
        )

    async def _is_name_free(
        self, pool: ObservedPool, action: WorkerAction, problem: PoolProblem
    ) -> bool:
        """Whether a name that was taken is free now. Foreign pods are not watched, so this asks the
        API server; it is a read, and cheap."""
        return (
            problem.reason == NAME_TAKEN and await self._find_pod(pool, _pod_name(action)) is None
        )

    async def _find_pod(self, pool: ObservedPool, name: str) -> Object | None:
        """The pod of that name, with any owner."""
        found = await self._client.list(PODS, pool.namespace, "", name=name)
        return found[0] if found else None

    async def _try(
        self, pool: ObservedPool, snapshot: PoolSnapshot, action: WorkerAction, token: str
    ) -> _Effect:
        """Perform an action. Raises ApiError, PersistentError."""
        try:
            await self._perform(pool, snapshot, action, token)
        except ApiError as error:
            if error.status == 404 and not isinstance(action, CreatePod):
                return _Effect.GONE
            if error.reason == "Conflict":
                return _Effect.CONFLICT
            raise
        return _Effect.DONE

    async def _perform(
        self, pool: ObservedPool, snapshot: PoolSnapshot, action: WorkerAction, token: str
    ) -> None:
        match action:
            case CreatePod(name):
                body = worker_pod(pool, name, snapshot.revision)
                self._cache_pod(pool, await self._create(pool, body))
            case RemoveFromService(pod, why):
                await self._apply_lifecycle(pool, pod, draining=self._now())
                await self._events.post(pool, "WorkerDraining", f"{pod.name}: {why}")
            case RestoreToService(pod, why):
                await self._apply_lifecycle(pool, pod)
                await self._events.post(pool, "WorkerRestored", f"{pod.name}: {why}")
            case MarkEvictable(pod, evictable):
                await self._apply_lifecycle(pool, pod, evictable=evictable)
            case DrainWorker(pod):
                await self._workers.drain(pod, token)
            case DeletePod(pod, why, failed, force):
                await self._client.delete(PODS, pool.namespace, pod.name, uid=pod.uid, now=force)
                await self._events.post(
                    pool, "WorkerDeleted", f"{pod.name}: {why}", warning=failed or force
                )

    async def _create(self, pool: ObservedPool, desired: Object) -> Object:
        """Create a pod. A pod of this pool that exists already has lost its labels, because the
        watch does not show it: it gets them back. Raises ApiError; PersistentError if the name is
        taken by a foreign pod."""
        try:
            return await self._client.create(PODS, desired)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            name = desired["metadata"]["name"]
            found = await self._find_pod(pool, name)
            if found is None:
                message = "it was deleted while it was created"
                raise ApiError(error.call, 409, "Conflict", message) from None
        if not owns(pool, found):
            raise PersistentError(name_taken("Pod", found))
        labels = {"metadata": {"labels": names.labels_of(pool.name)}}
        return await self._client.patch(PODS, pool.namespace, name, json_patch_to(found, labels))

    async def _post_created(self, pool: ObservedPool, created: Sequence[CreatePod]) -> None:
        """Post one Event for all pods that were created for the same reason: a pool of a hundred
        workers does not post a hundred."""
        for why in dict.fromkeys(each.why for each in created):
            made = [each.name for each in created if each.why == why]
            listed, more = ", ".join(made[:_MAX_NAMES_IN_EVENT]), len(made) - _MAX_NAMES_IN_EVENT
            listed += f" and {more} more" if more > 0 else ""
            await self._events.post(pool, "WorkerCreated", f"{listed}: {why}")

    async def _apply_lifecycle(
        self,
        pool: ObservedPool,
        pod: ObservedPod,
        *,
        draining: float | None = None,
        evictable: bool = False,
    ) -> None:
        body = pod_lifecycle_patch(pool, pod, draining=draining, evictable=evictable)
        self._cache_pod(pool, await self._client.apply(PODS, body))

    def _cache_pod(self, pool: ObservedPool, body: dict[str, Any]) -> None:
        """Cache what the API server answered: the watch may deliver it after the next round."""
        self._cache.put_pod(pool.key, pod_from(body))


def _pod_name(action: WorkerAction) -> str:
    return action.name if isinstance(action, CreatePod) else action.pod.name
