"""kopf's part: the watches. Every event goes into the cache and marks its pool; nothing else.

kopf reconnects, lists anew and logs in again; no handler writes anything, and kopf's own
finalizers, annotations and Events are not used.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import kopf

from ocrpool.resource import names
from ocrpool_operator.cluster.cache import Key, PoolCache
from ocrpool_operator.cluster.connection import login
from ocrpool_operator.cluster.owners import controller_of
from ocrpool_operator.cluster.parse import pod_from, pool_from

_log = logging.getLogger(__name__)
# From watches that failed altogether to their next beginning.
PAUSE_SECONDS = 3.0
_COMPANIONS = {
    "ConfigMap": ("", "v1", "configmaps"),
    "Service": ("", "v1", "services"),
    "PodDisruptionBudget": ("policy", "v1", "poddisruptionbudgets"),
    "Deployment": ("apps", "v1", "deployments"),
    "NetworkPolicy": ("networking.k8s.io", "v1", "networkpolicies"),
}


def settings() -> kopf.OperatorSettings:
    """kopf as this operator wants it: watching only what is ours, and silent."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.peering.standalone = True
    # The CRD is waited for before; nothing else comes and goes.
    found.scanning.disabled = True
    found.networking.request_timeout = 30
    found.networking.error_backoffs = (1, 2, 4, 8)
    found.networking.enforce_retry_after = True
    found.watching.server_timeout = 10 * 60
    found.watching.reconnect_backoff = 1.0
    # kopf takes a finalizer of this name off whatever it has no deletion handler for, and it does
    # not know who leads: so it is one that nothing has, and kopf never writes.
    found.persistence.finalizer = f"{names.GROUP}/kopf-{secrets.token_hex(8)}"
    ours = f"{names.LABEL_MANAGED}={names.MANAGER}"
    found.watching.label_selectors["", "v1", "pods"] = ours
    for group, version, plural in _COMPANIONS.values():
        found.watching.label_selectors[group, version, plural] = ours
    return found


def registry(
    cache: PoolCache, mark: Callable[[Key], None], end: Callable[[], Awaitable[None]]
) -> kopf.OperatorRegistry:
    """Handlers that keep `cache` and call `mark` with the pool that something happened to.

    `end` is awaited when kopf was told to end: it waits for every task that it does not know.
    """
    found = kopf.OperatorRegistry()
    kopf.on.login(registry=found)(login)

    async def on_cleanup(**_: Any) -> None:
        await end()

    kopf.on.cleanup(registry=found)(on_cleanup)

    # All of them coroutines: kopf calls plain functions in threads, and neither the cache nor the
    # loop is made for that.
    async def on_pool(*, body: kopf.Body, type: str | None, **_: Any) -> None:
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        if type == "DELETED":
            held = cache.pools.get(key)
            if held is None or held.uid == body["metadata"]["uid"]:
                cache.drop_pool(key)
            mark(key)
            return
        pool = pool_from(body)
        if cache.put_pool(pool):
            if pool.invalid_reason:
                _log.error("not followed: %s", pool.invalid_reason, extra={"pool": "/".join(key)})
            mark(key)

    async def on_pod(*, body: kopf.Body, type: str | None, **_: Any) -> None:
        key, owner = _key_of(body), _key_of_owner(body)
        if owner is not None and owner != key:
            # One of a pool's own whose label was taken off or changed: its pool has to look.
            cache.drop_pod(owner, body["metadata"]["name"], body["metadata"]["uid"])
            mark(owner)
        if key is None:
            key = _keep_proxy_pod(cache, body, type)
            if key is not None:
                mark(key)
            return
        pod = pod_from(body)
        if type == "DELETED":
            cache.drop_pod(key, pod.name, pod.uid)
        else:
            cache.put_pod(key, pod)
        mark(key)

    def companion(kind: str) -> Callable[..., Coroutine[Any, Any, None]]:
        async def on_companion(*, body: kopf.Body, type: str | None, **_: Any) -> None:
            key = _key_of(body)
            if key is None:
                return
            if type == "DELETED":
                cache.drop_owned_object(kind, key[0], body["metadata"]["name"])
            else:
                cache.put_owned_object(kind, dict(body))
            mark(key)

        return on_companion

    group = (names.GROUP, names.VERSION, names.PLURAL)
    kopf.on.event(*group, registry=found)(on_pool)
    kopf.on.event("", "v1", "pods", registry=found)(on_pod)
    for kind, resource in _COMPANIONS.items():
        kopf.on.event(*resource, id=kind, registry=found)(companion(kind))
    return found


def _keep_proxy_pod(cache: PoolCache, body: kopf.Body, type: str | None) -> Key | None:
    """What a pod that is no worker means. Answers the pool whose proxy it belongs to."""
    key = _key_of(body, names.LABEL_PROXY)
    if key is not None:
        pod = pod_from(body, template="proxy")
        if type == "DELETED":
            cache.drop_proxy_pod(key, pod.uid)
        else:
            cache.put_proxy_pod(key, pod)
    return key


async def run_watches(
    cache: PoolCache,
    mark: Callable[[Key], None],
    act: Callable[[], Coroutine[Any, Any, None]],
    *,
    namespaces: Sequence[str],
    with_settings: kopf.OperatorSettings | None = None,
    pause: float = PAUSE_SECONDS,
) -> None:
    """Watch, and `act` beside it, until told to end by a signal; no namespaces: the whole cluster.

    kopf gives up over what it cannot read, such as a watch that ends with half a line. Then both
    are begun again, after a pause; what was missed in between is seen by the next list.
    """
    while True:
        acting = asyncio.create_task(act())

        async def end(acting: asyncio.Task[None] = acting) -> None:
            acting.cancel()
            await asyncio.gather(acting, return_exceptions=True)

        try:
            await kopf.operator(
                registry=registry(cache, mark, end),
                settings=with_settings or settings(),
                clusterwide=not namespaces,
                namespaces=namespaces,
                standalone=True,
            )
            return
        except Exception as error:  # whatever it is, ending would not mend it
            _log.error(
                "the watches failed (%s: %s); again in %g s", type(error).__name__, error, pause
            )
        finally:
            await end()
        await asyncio.sleep(pause)


def _key_of_owner(body: kopf.Body) -> Key | None:
    """The pool that an object's ownerReference names."""
    owner = controller_of(body)
    return (
        (body["metadata"]["namespace"], owner["name"]) if owner.get("kind") == names.KIND else None
    )


def _key_of(body: kopf.Body, label: str = names.LABEL_POOL) -> Key | None:
    """The pool that an object's label names."""
    meta = body["metadata"]
    pool = (meta.get("labels") or {}).get(label)
    return (meta["namespace"], pool) if pool else None
