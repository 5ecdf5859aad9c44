"""The watches, which kopf runs. Every event is kept in the cache and marks its pool; nothing else.

kopf reconnects, lists again and logs in again. No handler writes anything, and kopf's own
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
# The pause before watches that failed are started again.
PAUSE_SECONDS = 3.0
_OWNED_KINDS = {
    "ConfigMap": ("", "v1", "configmaps"),
    "Service": ("", "v1", "services"),
    "PodDisruptionBudget": ("policy", "v1", "poddisruptionbudgets"),
    "Deployment": ("apps", "v1", "deployments"),
    "NetworkPolicy": ("networking.k8s.io", "v1", "networkpolicies"),
}


def settings() -> kopf.OperatorSettings:
    """The settings of kopf: it watches only the operator's own objects, and writes nothing."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.peering.standalone = True
    # The CRD exists before kopf starts, and no other resource appears or disappears.
    found.scanning.disabled = True
    found.networking.request_timeout = 30
    found.networking.error_backoffs = (1, 2, 4, 8)
    found.networking.enforce_retry_after = True
    found.watching.server_timeout = 10 * 60
    found.watching.reconnect_backoff = 1.0
    # kopf removes the finalizer of this name from objects without a deletion handler, even if this
    # operator is not the leader. No object has this random name, so kopf never writes.
    found.persistence.finalizer = f"{names.GROUP}/kopf-{secrets.token_hex(8)}"
    ours = f"{names.LABEL_MANAGED}={names.MANAGER}"
    found.watching.label_selectors["", "v1", "pods"] = ours
    for group, version, plural in _OWNED_KINDS.values():
        found.watching.label_selectors[group, version, plural] = ours
    return found


def registry(
    cache: PoolCache, mark: Callable[[Key], None], end: Callable[[], Awaitable[None]]
) -> kopf.OperatorRegistry:
    """Make the handlers: they update `cache` and call `mark` with the pool that changed.

    `end` is awaited when kopf ends, because kopf waits for every task that it did not start.
    """
    found = kopf.OperatorRegistry()
    kopf.on.login(registry=found, backoff=PAUSE_SECONDS)(login)

    async def on_cleanup(**_: Any) -> None:
        await end()

    kopf.on.cleanup(registry=found)(on_cleanup)

    # All handlers are coroutines: kopf calls plain functions in threads, and neither the cache nor
    # the loop is thread-safe.
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
                _log.error(
                    "the spec is invalid: %s", pool.invalid_reason, extra={"pool": "/".join(key)}
                )
            mark(key)

    async def on_pod(*, body: kopf.Body, type: str | None, **_: Any) -> None:
        key, owner = _key_of(body), _key_of_owner(body)
        if owner is not None and owner != key:
            # The label of a pool's own pod was removed or changed: its pool needs a round.
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

    def owned_kind(kind: str) -> Callable[..., Coroutine[Any, Any, None]]:
        async def on_owned_object(*, body: kopf.Body, type: str | None, **_: Any) -> None:
            key = _key_of(body)
            if key is None:
                return
            if type == "DELETED":
                cache.drop_owned_object(kind, key[0], body["metadata"]["name"])
            else:
                cache.put_owned_object(kind, dict(body))
            mark(key)

        return on_owned_object

    group = (names.GROUP, names.VERSION, names.PLURAL)
    kopf.on.event(*group, registry=found)(on_pool)
    kopf.on.event("", "v1", "pods", registry=found)(on_pod)
    for kind, resource in _OWNED_KINDS.items():
        kopf.on.event(*resource, id=kind, registry=found)(owned_kind(kind))
    return found


def _keep_proxy_pod(cache: PoolCache, body: kopf.Body, type: str | None) -> Key | None:
    """Keep the pod of a proxy in the cache. Returns the pool; None if the pod is no proxy's."""
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
    """Run the watches, and `act` beside them, until a signal ends the process. No namespaces: watch
    the whole cluster.

    kopf fails on data that it cannot parse, such as a watch that ends in the middle of a line. Then
    both start again after a pause. The next list has what was missed.
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
        except Exception as error:  # a restart of the process would not help more
            _log.error(
                "the watches failed (%s: %s); again in %g s", type(error).__name__, error, pause
            )
        finally:
            await end()
        await asyncio.sleep(pause)


def _key_of_owner(body: kopf.Body) -> Key | None:
    """The pool that is the controller of an object."""
    owner = controller_of(body)
    return (
        (body["metadata"]["namespace"], owner["name"]) if owner.get("kind") == names.KIND else None
    )


def _key_of(body: kopf.Body, label: str = names.LABEL_POOL) -> Key | None:
    """The pool that an object's label names."""
    meta = body["metadata"]
    pool = (meta.get("labels") or {}).get(label)
    return (meta["namespace"], pool) if pool else None
