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
    """Writes on pools. Every body names the uid: what took the place of a pool is not touched."""

    def __init__(self, cache: PoolCache, client: KubeClient) -> None:
        self._cache = cache
        self._client = client

    async def take(self, pool: ObservedPool) -> ObservedPool:
        """Put our finalizer on it, so that its deletion waits until its workers are drained."""
        body = _body(pool, finalizers=[FINALIZER])
        return self._keep(pool, await self._client.apply(POOLS, body))

    async def release(self, pool: ObservedPool) -> None:
        """Take our finalizer off; the rest is collected after its owner."""
        if pool.has_finalizer:
            try:
                await self._take_off(pool)
            except ApiError as error:
                # It is gone, or another one has its name: the uid did not match.
                if error.status not in (404, 409):
                    raise
        self._cache.drop_pool(pool.key)

    async def _take_off(self, pool: ObservedPool) -> None:
        body = await self._client.apply(POOLS, _body(pool))
        left = body["metadata"].get("finalizers", ())
        if FINALIZER in left:
            # What we no longer say goes, unless it has another owner. A pool that lost its
            # managedFields (a restored backup, a changed CRD) has one, `before-first-apply`.
            others = [each for each in left if each != FINALIZER]
            version = body["metadata"]["resourceVersion"]
            body = await self._client.merge(
                POOLS, _body(pool, finalizers=others, resourceVersion=version)
            )
        self._keep(pool, body)

    async def write_status(self, pool: ObservedPool, status: PoolStatus) -> None:
        """All of it is ours. Merged and not applied: rows that somebody else is said to own (see
        above) could not be taken away by what we no longer say."""
        said = merge_patch(status.model_dump(mode="json", by_alias=True))
        body = {**_body(pool), "status": said}
        self._keep(pool, await self._client.merge(POOLS, body, subresource="status"))

    def _keep(self, pool: ObservedPool, body: Object) -> ObservedPool:
        """Remember what the server answered: the watch may bring it later than the next round."""
        try:
            fresh = pool_from(body)
        except (KeyError, ValueError):
            return pool
        self._cache.put_pool(fresh)
        return replace(pool, has_finalizer=fresh.has_finalizer, version=fresh.version)


def merge_patch(said: Object) -> Object:
    """As a JSON merge patch (RFC 7386): a null takes a field away, and lists come whole, so that
    in their items what is null is left out."""
    return {key: _told(value) for key, value in said.items()}


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return merge_patch(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _plain(value: Any) -> Any:
    """A value without its nulls."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _body(pool: ObservedPool, **more: Any) -> Object:
    meta = {"name": pool.name, "namespace": pool.namespace, "uid": pool.uid, **more}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": meta}
