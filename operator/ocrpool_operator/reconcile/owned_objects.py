"""Keeps the objects that a pool owns, besides its pods, as desired: Service, ConfigMap, proxy, …

An object is made by a plain create, which fails if its name is taken. An existing object is changed
only if the pool is its controller, and only if it has not changed since it was read.
"""

from __future__ import annotations

from collections.abc import Callable

from ocrpool.planner.observed import ObservedPool, PoolProblem
from ocrpool.resource import names
from ocrpool_operator.cluster.api_errors import PersistentError, persistent_problem
from ocrpool_operator.cluster.cache import Key, PoolCache
from ocrpool_operator.cluster.client import BY_KIND, ApiError, KubeClient
from ocrpool_operator.cluster.owners import NAME_TAKEN, Body, name_taken, owned_proxy_pods, owns
from ocrpool_operator.cluster.resync import ResyncTimer
from ocrpool_operator.manifests.desired_objects import desired_objects
from ocrpool_operator.manifests.drift import json_patch_to, matches
from ocrpool_operator.manifests.metadata import Object
from ocrpool_operator.manifests.network_policies import IngressRules
from ocrpool_operator.manifests.services import client_service
from ocrpool_operator.reconcile.guarded_call import CallResult, GuardedCalls

# A broken watch can miss a deletion. A list finds it after this long at the latest.
RESYNC_SECONDS = 300.0
# An object that others keep changing is left for the next round after this many attempts.
MAX_WRITE_ATTEMPTS = 4


class OwnedObjects:
    """Creates what is missing, changes back what was changed, and deletes what is not desired."""

    def __init__(
        self,
        cache: PoolCache,
        client: KubeClient,
        guarded: GuardedCalls,
        *,
        clock: Callable[[], float],
        domain: str,
        ingress: IngressRules = None,
    ) -> None:
        self._cache = cache
        self._client = client
        self._guarded = guarded
        self._domain = domain
        self._ingress = ingress
        self._lists = ResyncTimer(RESYNC_SECONDS, clock)

    async def ensure(
        self, pool: ObservedPool, *, evict: bool, has_secret: bool
    ) -> list[PoolProblem]:
        """Make all objects of a pool as desired, and return what prevents it. Raises ApiError if
        the API server is unavailable.

        `evict`: Kubernetes may evict one worker. `has_secret`: the pool's Secret exists; the proxy
        reads it when it starts.
        """
        await self._list_if_due(pool)
        problems: list[PoolProblem] = []
        for desired in self._desired_objects(pool, evict=evict):
            if desired["kind"] != "Deployment" or (has_secret and self._can_start_proxy(pool)):
                problems += await self._ensure_object(pool, desired)
        # The Service is last: it selects the proxy only once the proxy takes requests.
        service = client_service(pool, proxied=self._proxy_serves(pool))
        service_problems = await self._ensure_object(pool, service)
        problems += service_problems
        # A proxy that was switched off is deleted only after the Service has left it. A proxy that
        # is desired has all that it needs before the objects of an older one are deleted.
        if service_problems or (problems and pool.spec.proxy is not None):
            return problems
        return problems + await self._delete_undesired(pool)

    def has_settings(self, pool: ObservedPool) -> bool:
        """Whether the ConfigMap that every worker mounts exists and is the pool's."""
        return self._has(pool, "ConfigMap", names.settings_name(pool.name))

    def forget_pool(self, key: Key) -> None:
        """Forget when the objects of a pool that is gone were listed."""
        self._lists.forget_pool(key)

    def _has(self, pool: ObservedPool, kind: str, name: str) -> bool:
        found = self._cache.owned_object(kind, pool.namespace, name)
        return found is not None and owns(pool, found)

    def _can_start_proxy(self, pool: ObservedPool) -> bool:
        """Whether the ConfigMap that a proxy mounts, and the Service that it sends to, are the
        pool's."""
        return self._has(pool, "ConfigMap", names.proxy_name(pool.name)) and self._has(
            pool, "Service", names.pods_service(pool.name, pool.uid)
        )

    def _proxy_serves(self, pool: ObservedPool) -> bool:
        """Whether a proxy takes requests. If none does, the Service sends straight to the workers:
        requests are answered, though less evenly spread."""
        if pool.spec.proxy is None or not self._can_start_proxy(pool):
            return False
        if not self._has(pool, "Deployment", names.proxy_name(pool.name)):
            return False
        pods = owned_proxy_pods(pool, self._cache.proxy_pods(pool.key))
        return any(pod.ready and pod.ends_at is None for pod in pods)

    async def _ensure_object(self, pool: ObservedPool, desired: Object) -> list[PoolProblem]:
        """Make one object as desired, and return what prevents it."""
        kind, name = desired["kind"], desired["metadata"]["name"]
        result = await self._guarded.attempt(
            pool,
            f"{kind} {name}",
            lambda: self._write(pool, desired),
            ends_pause=lambda problem: self._is_name_free(pool, kind, name, problem),
        )
        return [] if result.problem is None else [result.problem]

    async def _write(self, pool: ObservedPool, desired: Object) -> None:
        """Create or change an object. Raises ApiError; PersistentError if its name is taken."""
        kind, name = desired["kind"], desired["metadata"]["name"]
        resource = BY_KIND[kind]
        found: Body | None = self._cache.owned_object(kind, pool.namespace, name)
        for attempt in range(MAX_WRITE_ATTEMPTS):
            try:
                if found is None:
                    body = await self._client.create(resource, desired)
                    self._cache.put_owned_object(kind, body)
                    return
                if not owns(pool, found):
                    blocks = _is_essential(pool, kind, name)
                    raise PersistentError(name_taken(kind, found, blocks=blocks))
                if not matches(found, desired):
                    patch = json_patch_to(found, desired)
                    body = await self._client.patch(resource, pool.namespace, name, patch)
                    self._cache.put_owned_object(kind, body)
                return
            except ApiError as error:
                # It was created, changed or deleted since it was read: read it again, from the API
                # server and not from the cache.
                if error.status not in (404, 409) or attempt == MAX_WRITE_ATTEMPTS - 1:
                    raise
            found = await self._find(pool, kind, name)

    async def _find(self, pool: ObservedPool, kind: str, name: str) -> Object | None:
        """The object of that name as it is now, with any owner. Only the pool's own is cached."""
        found = await self._client.list(BY_KIND[kind], pool.namespace, "", name=name)
        if found and owns(pool, found[0]):
            self._cache.put_owned_object(kind, found[0])
        else:
            self._cache.drop_owned_object(kind, pool.namespace, name)
        return found[0] if found else None

    async def _is_name_free(
        self, pool: ObservedPool, kind: str, name: str, problem: PoolProblem
    ) -> bool:
        """Whether a name that was taken is free now. This is a read, and cheap."""
        if problem.reason != NAME_TAKEN:
            return False
        found = await self._find(pool, kind, name)
        return found is None or owns(pool, found)

    def _desired_objects(self, pool: ObservedPool, *, evict: bool = True) -> tuple[Object, ...]:
        """All objects but the Service for clients."""
        return desired_objects(pool, self._ingress, evict=evict, domain=self._domain)

    def _desired_names(self, pool: ObservedPool) -> set[tuple[str, str]]:
        """Kind and name of every desired object."""
        desired = (*self._desired_objects(pool), client_service(pool, proxied=False))
        return {(each["kind"], each["metadata"]["name"]) for each in desired}

    async def _delete_undesired(self, pool: ObservedPool) -> list[PoolProblem]:
        """Delete the objects that the pool owns and no longer asks for."""
        desired = self._desired_names(pool)
        undesired = [
            (kind, body)
            for kind in BY_KIND
            for body in self._cache.owned_objects(pool.key, kind)
            if (kind, body["metadata"]["name"]) not in desired and owns(pool, body)
        ]
        results = [await self._delete(pool, kind, body) for kind, body in undesired]
        return [each.problem for each in results if each.problem is not None]

    async def _delete(self, pool: ObservedPool, kind: str, body: Body) -> CallResult[None]:
        name, uid = body["metadata"]["name"], body["metadata"]["uid"]

        async def delete() -> None:
            try:
                await self._client.delete(BY_KIND[kind], pool.namespace, name, uid=uid)
            except ApiError as error:
                # It is gone, or another object has its name.
                if error.status not in (404, 409):
                    raise
            self._cache.drop_owned_object(kind, pool.namespace, name)

        return await self._guarded.attempt(pool, f"Delete {kind} {name}", delete)

    async def _list_if_due(self, pool: ObservedPool) -> None:
        if not self._lists.has_listed(pool.key) and not pool.status.observed_generation:
            self._lists.record_list(pool.key)  # a new pool owns nothing yet
        if self._lists.is_due(pool.key):
            for kind in BY_KIND:
                await self._list(pool, kind)
            self._lists.record_list(pool.key)

    async def _list(self, pool: ObservedPool, kind: str) -> None:
        """Replace the cached objects of one kind by those on the API server."""
        selector = names.selector_of(pool.name)
        try:
            bodies = await self._client.list(BY_KIND[kind], pool.namespace, selector)
        except ApiError as error:
            persistent_problem(error)  # raises if the API server is unavailable
            return
        cached = {each["metadata"]["name"] for each in self._cache.owned_objects(pool.key, kind)}
        cached |= {name for its, name in self._desired_names(pool) if its == kind}
        for name in cached:
            self._cache.drop_owned_object(kind, pool.namespace, name)
        for body in bodies:
            self._cache.put_owned_object(kind, body)


def _is_essential(pool: ObservedPool, kind: str, name: str) -> bool:
    """Whether a pool cannot do its work without this object."""
    return (kind, name) in {
        ("Service", pool.name),
        ("ConfigMap", names.settings_name(pool.name)),
    }
