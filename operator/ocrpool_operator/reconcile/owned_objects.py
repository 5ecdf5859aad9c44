"""Keeps what a pool has besides its pods as it should be: Service, ConfigMap, proxy, and so on.

Each object is made by a plain create, which fails where there is one of that name; what is there is
only written where its controller is the pool, and only as it was when it was looked at.
"""

from __future__ import annotations

import math

from ocrpool.planner.observed import ObservedPool, PoolProblem
from ocrpool.resource import names
from ocrpool_operator.cluster.api_errors import PersistentError, persistent_problem
from ocrpool_operator.cluster.cache import Key, PoolCache
from ocrpool_operator.cluster.client import BY_KIND, ApiError, KubeClient
from ocrpool_operator.cluster.owners import NAME_TAKEN, Body, name_taken, owned_proxy_pods, owns
from ocrpool_operator.cluster.retry_backoff import RetryBackoff
from ocrpool_operator.manifests.desired_objects import desired_objects
from ocrpool_operator.manifests.drift import json_patch_to, matches
from ocrpool_operator.manifests.metadata import Object
from ocrpool_operator.manifests.network_policies import IngressRules
from ocrpool_operator.manifests.services import client_service

# One whose deletion a broken watch has swallowed is noticed after this long at the latest.
RESYNC_SECONDS = 300.0
# An object that others write all the time is given up for this round after so many tries.
TRIES = 4


class OwnedObjects:
    """Makes and mends what is missing or was changed, and nothing else."""

    def __init__(
        self,
        cache: PoolCache,
        client: KubeClient,
        backoff: RetryBackoff,
        *,
        domain: str,
        ingress: IngressRules = None,
    ) -> None:
        self._cache = cache
        self._client = client
        self._backoff = backoff
        self._domain = domain
        self._ingress = ingress
        self._listed: dict[Key, float] = {}

    async def ensure(
        self, pool: ObservedPool, now: float, *, evict: bool, secret: bool
    ) -> list[PoolProblem]:
        """Answers what is in the way, and what the API server refused for good. Raises ApiError
        where it is away. `now`: monotonic seconds; `evict`: the pool can do without one of its
        workers; `secret`: the pool's Secret is there, which a proxy reads as it starts."""
        if pool.key not in self._listed and not pool.status.observed_generation:
            self._listed[pool.key] = now  # of a pool that is new there is nothing to be missed
        if now - self._listed.get(pool.key, -math.inf) >= RESYNC_SECONDS:
            await self._list(pool)
            self._listed[pool.key] = now
        troubles: list[PoolProblem] = []
        for wanted in self._others(pool, evict=evict):
            if wanted["kind"] != "Deployment" or (secret and self._may_proxy(pool)):
                troubles += await self._keep(pool, wanted)
        # The Service last: it goes to a proxy only where all that it needs is there.
        service = client_service(pool, proxied=self._proxied(pool))
        left = await self._keep(pool, service)
        troubles += left
        # It has left a proxy that was switched off before that is taken away; and a proxy that is
        # wanted has all that it needs before what an older one needed goes.
        if left or (troubles and pool.spec.proxy is not None):
            return troubles
        return troubles + await self._prune(pool)

    def has_settings(self, pool: ObservedPool) -> bool:
        """Whether the ConfigMap that every worker mounts is there, and is the pool's."""
        return self._has(pool, "ConfigMap", names.settings_name(pool.name))

    def _has(self, pool: ObservedPool, kind: str, name: str) -> bool:
        there = self._cache.owned_object(kind, pool.namespace, name)
        return there is not None and owns(pool, there)

    def _may_proxy(self, pool: ObservedPool) -> bool:
        """Whether what a proxy mounts, and the name that it sends to, are the pool's."""
        return self._has(pool, "ConfigMap", names.proxy_name(pool.name)) and self._has(
            pool, "Service", names.pods_service(pool.name, pool.uid)
        )

    def _proxied(self, pool: ObservedPool) -> bool:
        """Whether a proxy takes requests. With none, straight to the workers is better than
        nowhere."""
        if pool.spec.proxy is None or not self._may_proxy(pool):
            return False
        if not self._has(pool, "Deployment", names.proxy_name(pool.name)):
            return False
        pods = owned_proxy_pods(pool, self._cache.proxy_pods(pool.key))
        return any(pod.ready and pod.ends_at is None for pod in pods)

    async def _keep(self, pool: ObservedPool, wanted: Object) -> list[PoolProblem]:
        """Make one object as it is wanted. Answers what keeps it from being so."""
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        what = f"{kind} {name}"
        refused = self._backoff.pending(pool, what)
        if refused is not None and not await self._is_free(pool, kind, name, refused):
            return [refused]
        try:
            await self._make(pool, wanted)
        except ApiError as error:
            trouble = persistent_problem(error)
        except PersistentError as error:
            trouble = error.problem
        else:
            self._backoff.clear(pool, what)
            return []
        self._backoff.record_refusal(pool, what, trouble)
        return [trouble]

    async def _make(self, pool: ObservedPool, wanted: Object) -> None:
        """Raises ApiError; PersistentError where the name is another's."""
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        resource = BY_KIND[kind]
        there: Body | None = self._cache.owned_object(kind, pool.namespace, name)
        for turn in range(TRIES):
            try:
                if there is None:
                    self._cache.put_owned_object(kind, await self._client.create(resource, wanted))
                    return
                if not owns(pool, there):
                    raise PersistentError(name_taken(kind, there, blocks=_needed(pool, kind, name)))
                if not matches(there, wanted):
                    steps = json_patch_to(there, wanted)
                    body = await self._client.patch(resource, pool.namespace, name, steps)
                    self._cache.put_owned_object(kind, body)
                return
            except ApiError as error:
                # Made, changed or gone since we looked: look again, and not into the cache.
                if error.status not in (404, 409) or turn == TRIES - 1:
                    raise
            there = await self._at(pool, kind, name)

    async def _at(self, pool: ObservedPool, kind: str, name: str) -> Object | None:
        """The object of that name as it is now, whosever it is. Others' objects are not kept."""
        found = await self._client.list(BY_KIND[kind], pool.namespace, "", name=name)
        if found and owns(pool, found[0]):
            self._cache.put_owned_object(kind, found[0])
        else:
            self._cache.drop_owned_object(kind, pool.namespace, name)
        return found[0] if found else None

    async def _is_free(
        self, pool: ObservedPool, kind: str, name: str, refused: PoolProblem
    ) -> bool:
        """Whether a name that was taken can be had now; looking costs no write."""
        if refused.reason != NAME_TAKEN:
            return False
        there = await self._at(pool, kind, name)
        return there is None or owns(pool, there)

    def _others(self, pool: ObservedPool, *, evict: bool = True) -> tuple[Object, ...]:
        """All but the Service."""
        return desired_objects(pool, self._ingress, evict=evict, domain=self._domain)

    def _names(self, pool: ObservedPool) -> set[tuple[str, str]]:
        """Kind and name of all that there shall be."""
        found = (*self._others(pool), client_service(pool, proxied=False))
        return {(each["kind"], each["metadata"]["name"]) for each in found}

    async def _prune(self, pool: ObservedPool) -> list[PoolProblem]:
        """Delete what was made for this pool and is not asked for any more."""
        troubles = []
        wanted = self._names(pool)
        for kind, resource in BY_KIND.items():
            for body in self._cache.owned_objects(pool.key, kind):
                meta = body["metadata"]
                if (kind, meta["name"]) in wanted or not owns(pool, body):
                    continue
                try:
                    await self._client.delete(
                        resource, pool.namespace, meta["name"], uid=meta["uid"]
                    )
                except ApiError as error:
                    if error.status not in (404, 409):
                        troubles.append(persistent_problem(error))
                        continue
                self._cache.drop_owned_object(kind, pool.namespace, meta["name"])
        return troubles

    async def _list(self, pool: ObservedPool) -> None:
        for kind, resource in BY_KIND.items():
            try:
                bodies = await self._client.list(
                    resource, pool.namespace, names.selector_of(pool.name)
                )
            except ApiError as error:
                persistent_problem(error)
                continue
            held = {each["metadata"]["name"] for each in self._cache.owned_objects(pool.key, kind)}
            held |= {name for its, name in self._names(pool) if its == kind}
            for name in held:
                self._cache.drop_owned_object(kind, pool.namespace, name)
            for body in bodies:
                self._cache.put_owned_object(kind, body)


def _needed(pool: ObservedPool, kind: str, name: str) -> bool:
    """Whether a pool cannot do its work without this object."""
    return (kind, name) in {
        ("Service", pool.name),
        ("ConfigMap", names.settings_name(pool.name)),
    }
