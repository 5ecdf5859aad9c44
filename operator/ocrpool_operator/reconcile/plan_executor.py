"""Carries out a plan: pods created, taken out of the Service, drained, deleted."""

from __future__ import annotations

import asyncio
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
from ocrpool_operator.cluster.api_errors import PersistentError, persistent_problem
from ocrpool_operator.cluster.cache import PoolCache
from ocrpool_operator.cluster.client import PODS, ApiError, KubeClient
from ocrpool_operator.cluster.events import EventRecorder
from ocrpool_operator.cluster.owners import NAME_TAKEN, name_taken, owns
from ocrpool_operator.cluster.parse import pod_from
from ocrpool_operator.cluster.retry_backoff import RetryBackoff
from ocrpool_operator.cluster.worker_client import WorkerClient
from ocrpool_operator.manifests.drift import json_patch_to
from ocrpool_operator.manifests.metadata import Object
from ocrpool_operator.manifests.worker_pod import pod_lifecycle_patch, worker_pod

# A pool of hundreds asks for its pods in this many calls at once.
MAX_CONCURRENT_ACTIONS = 8
# Workers that an Event about several calls by name.
_NAMED = 10


@dataclass(frozen=True)
class ActionResults:
    """What came of a plan."""

    troubles: tuple[PoolProblem, ...]
    failures: dict[str, FailureCount]
    # Something was done, or changed under our hands: there will be something new to see.
    moved: bool


class PlanExecutor:
    """The hands of the reconciler."""

    def __init__(
        self,
        cache: PoolCache,
        client: KubeClient,
        workers: WorkerClient,
        events: EventRecorder,
        *,
        backoff: RetryBackoff,
        now: Callable[[], float],
    ) -> None:
        self._cache = cache
        self._client = client
        self._workers = workers
        self._events = events
        self._backoff = backoff
        self._now = now

    async def execute(
        self, pool: ObservedPool, seen: PoolSnapshot, plan: WorkerPlan, token: str
    ) -> ActionResults:
        """Every action of the plan. Raises ApiError, after all were tried, if the API server is
        away; what it refuses for good is told, and tried again with pauses."""
        gate = asyncio.Semaphore(MAX_CONCURRENT_ACTIONS)
        troubles: list[PoolProblem] = []
        done: list[WorkerAction] = []
        conflicts = 0

        async def one(action: WorkerAction) -> None:
            nonlocal conflicts
            what = f"{type(action).__name__} {_name(action)}"
            async with gate:
                refused = self._backoff.pending(pool, what)
                if refused is not None and not await self._is_free(pool, action, refused):
                    troubles.append(refused)
                    return
                try:
                    await self._do(pool, seen, action, token)
                except ApiError as error:
                    if error.status == 404 and not isinstance(action, CreatePod):
                        return
                    if error.reason == "Conflict":
                        # It changed under our hands: the next round will see it.
                        conflicts += 1
                        return
                    trouble = persistent_problem(error)
                    self._backoff.record_refusal(pool, what, trouble)
                    troubles.append(trouble)
                except PersistentError as error:
                    self._backoff.record_refusal(pool, what, error.problem)
                    troubles.append(error.problem)
                else:
                    self._backoff.clear(pool, what)
                    done.append(action)

        results = await asyncio.gather(
            *(one(action) for action in plan.actions), return_exceptions=True
        )
        await self._tell_created(pool, [each for each in done if isinstance(each, CreatePod)])
        for result in results:
            if isinstance(result, BaseException):
                raise result
        failures = count_failures(dict(seen.failures), done, self._now())
        # In one order: what is told in another one is written again.
        told = tuple(sorted(troubles, key=lambda each: each.message))
        return ActionResults(told, failures, bool(done) or conflicts > 0)

    async def _is_free(
        self, pool: ObservedPool, action: WorkerAction, refused: PoolProblem
    ) -> bool:
        """Whether a name that was taken is free now. Strangers' pods are not watched; looking
        costs no write."""
        return refused.reason == NAME_TAKEN and await self._at(pool, _name(action)) is None

    async def _at(self, pool: ObservedPool, name: str) -> Object | None:
        """The pod of that name, whoever owns it."""
        found = await self._client.list(PODS, pool.namespace, "", name=name)
        return found[0] if found else None

    async def _create(self, pool: ObservedPool, wanted: Object) -> Object:
        """Make a pod. One of ours that is there already lacks its labels, or we would have seen
        it; it gets them back. Raises ApiError; PersistentError where the name is another's."""
        try:
            return await self._client.create(PODS, wanted)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            name = wanted["metadata"]["name"]
            there = await self._at(pool, name)
            if there is None:
                raise ApiError(error.call, 409, "Conflict", "it went while it was made") from None
        if not owns(pool, there):
            raise PersistentError(name_taken("Pod", there))
        labels = {"metadata": {"labels": names.labels_of(pool.name)}}
        return await self._client.patch(PODS, pool.namespace, name, json_patch_to(there, labels))

    async def _do(
        self, pool: ObservedPool, seen: PoolSnapshot, action: WorkerAction, token: str
    ) -> None:
        match action:
            case CreatePod(name):
                wanted = worker_pod(pool, name, seen.revision)
                self._keep(pool, await self._create(pool, wanted))
            case RemoveFromService(pod, why):
                await self._note(pool, pod, draining=self._now())
                await self._events.post(pool, "WorkerDraining", f"{pod.name}: {why}")
            case RestoreToService(pod, why):
                await self._note(pool, pod)
                await self._events.post(pool, "WorkerRestored", f"{pod.name}: {why}")
            case MarkEvictable(pod, evictable):
                await self._note(pool, pod, evictable=evictable)
            case DrainWorker(pod):
                await self._workers.drain(pod, token)
            case DeletePod(pod, why, failed, force):
                await self._client.delete(PODS, pool.namespace, pod.name, uid=pod.uid, now=force)
                await self._events.post(
                    pool, "WorkerDeleted", f"{pod.name}: {why}", warning=failed or force
                )

    async def _tell_created(self, pool: ObservedPool, created: Sequence[CreatePod]) -> None:
        """One Event for all pods of a round that have the same reason: a pool of a hundred does not
        write a hundred."""
        for why in dict.fromkeys(each.why for each in created):
            made = [each.name for each in created if each.why == why]
            told, more = ", ".join(made[:_NAMED]), len(made) - _NAMED
            told += f" and {more} more" if more > 0 else ""
            await self._events.post(pool, "WorkerCreated", f"{told}: {why}")

    async def _note(
        self,
        pool: ObservedPool,
        pod: ObservedPod,
        *,
        draining: float | None = None,
        evictable: bool = False,
    ) -> None:
        body = pod_lifecycle_patch(pool, pod, draining=draining, evictable=evictable)
        self._keep(pool, await self._client.apply(PODS, body))

    def _keep(self, pool: ObservedPool, body: dict[str, Any]) -> None:
        self._cache.put_pod(pool.key, pod_from(body))


def _name(action: WorkerAction) -> str:
    return action.name if isinstance(action, CreatePod) else action.pod.name
