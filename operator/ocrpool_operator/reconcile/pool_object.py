"""What the operator writes on the OcrPool itself: its finalizer and the status."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ocrpool.planner.observed import ObservedPool
from ocrpool.resource.names import FINALIZER, GROUP, KIND, VERSION
from ocrpool.resource.status import PoolStatus
from ocrpool_operator.cluster.cache import PoolCache
from ocrpool_operator.cluster.client import POOLS, ApiError, KubeClient, Object
from ocrpool_operator.cluster.parse import pool_from


class PoolObjectWriter:
    """Writes on pools. Every body has the pool's uid, so that a new pool with the same name is not
    touched."""

    def __init__(self, cache: PoolCache, client: KubeClient) -> None:
        self._cache = cache
        self._client = client

    async def add_finalizer(self, pool: ObservedPool) -> ObservedPool:
        """Make the deletion of the pool wait until its workers are drained."""
        body = _body(pool, finalizers=[FINALIZER])
        return self._cache_answer(pool, await self._client.apply(POOLS, body))

    async def remove_finalizer(self, pool: ObservedPool) -> None:
        """Let Kubernetes delete the pool; what it owns is collected after it."""
        if pool.has_finalizer:
            try:
                await self._remove_finalizer(pool)
            except ApiError as error:
                # The pool is gone, or another one has its name: the uid did not match.
                if error.status not in (404, 409):
                    raise
        self._cache.drop_pool(pool.key)

    async def _remove_finalizer(self, pool: ObservedPool) -> None:
        body = await self._client.apply(POOLS, _body(pool))
        left = body["metadata"].get("finalizers", ())
        if FINALIZER in left:
            # Server-side apply removes only fields that no other manager owns. A pool that lost its
            # managedFields (a restored backup, a changed CRD) has the manager
            # `before-first-apply`.
            others = [each for each in left if each != FINALIZER]
            version = body["metadata"]["resourceVersion"]
            body = await self._client.merge(
                POOLS, _body(pool, finalizers=others, resourceVersion=version)
            )
        self._cache_answer(pool, body)

    async def write_status(self, pool: ObservedPool, status: PoolStatus) -> None:
        """Write the whole status. A merge patch and not an apply: an apply cannot remove rows that
        another manager owns (see above)."""
        patch = merge_patch(status.model_dump(mode="json", by_alias=True))
        body = {**_body(pool), "status": patch}
        self._cache_answer(pool, await self._client.merge(POOLS, body, subresource="status"))

    def _cache_answer(self, pool: ObservedPool, body: Object) -> ObservedPool:
        """Cache what the API server answered: the watch may deliver it after the next round."""
        try:
            fresh = pool_from(body)
        except (KeyError, ValueError):
            return pool
        self._cache.put_pool(fresh)
        return replace(pool, has_finalizer=fresh.has_finalizer, version=fresh.version)


def merge_patch(fields: Object) -> Object:
    """The JSON merge patch (RFC 7386) that writes these fields. A null removes a field. A list is
    replaced as a whole, so nulls inside its items are left out."""
    return {key: _patch_value(value) for key, value in fields.items()}


def _patch_value(value: Any) -> Any:
    if isinstance(value, dict):
        return merge_patch(value)
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _body(pool: ObservedPool, **metadata: Any) -> Object:
    meta = {"name": pool.name, "namespace": pool.namespace, "uid": pool.uid, **metadata}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": meta}
