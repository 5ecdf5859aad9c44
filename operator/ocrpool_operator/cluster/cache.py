"""What the watches brought, by pool: a cache that is looked at, and never acted on alone.

A watch may be late, and a broken one may have missed a deletion. So whoever is about to create or
delete pods lists them first (`replace_pods`), and a late event never undoes what a list said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ocrpool.planner.observed import ObservedPod, ObservedPool
from ocrpool.resource.names import LABEL_POOL

Key = tuple[str, str]
# Of a companion object, what is compared with what is wanted.
_KEPT = ("spec", "data", "metadata")
_KEPT_META = ("name", "namespace", "uid", "resourceVersion", "labels", "ownerReferences")


class PoolCache:
    """Pools, their pods, and their companions. Keys are (namespace, pool)."""

    def __init__(self) -> None:
        self.pools: dict[Key, ObservedPool] = {}
        self._pods: defaultdict[Key, dict[str, ObservedPod]] = defaultdict(dict)
        self._proxies: defaultdict[Key, dict[str, ObservedPod]] = defaultdict(dict)
        self._owned_objects: dict[tuple[str, str, str], Mapping[str, Any]] = {}

    def put_pool(self, pool: ObservedPool) -> bool:
        """Keep what was read, unless it is older than what is held. Answers whether somebody
        changed more than the status, which is our own word."""
        held = self.pools.get(pool.key)
        if held is not None and held.uid == pool.uid and held.version > pool.version:
            return False
        self.pools[pool.key] = pool
        return held is None or replace(held, status=pool.status, version=pool.version) != pool

    def pods(self, key: Key) -> tuple[ObservedPod, ...]:
        """All that bear the labels of a pool's workers, whosever they are."""
        return tuple(self._pods.get(key, {}).values())

    def put_pod(self, key: Key, pod: ObservedPod) -> None:
        held = self._pods[key].get(pod.name)
        if held is None or held.version <= pod.version:
            self._pods[key][pod.name] = pod

    def drop_pod(self, key: Key, name: str, uid: str) -> None:
        held = self._pods[key].get(name)
        if held is not None and held.uid == uid:
            del self._pods[key][name]

    def replace_pods(self, key: Key, pods: Iterable[ObservedPod]) -> None:
        """What a list said: all of it, and nothing else."""
        self._pods[key] = {pod.name: pod for pod in pods}

    def proxy_pods(self, key: Key) -> tuple[ObservedPod, ...]:
        """All that bear the label of a pool's proxy; the Deployment's controller makes them."""
        return tuple(self._proxies.get(key, {}).values())

    def put_proxy_pod(self, key: Key, pod: ObservedPod) -> None:
        self._proxies[key][pod.uid] = pod

    def replace_proxy_pods(self, key: Key, pods: Iterable[ObservedPod]) -> None:
        self._proxies[key] = {pod.uid: pod for pod in pods}

    def drop_proxy_pod(self, key: Key, uid: str) -> None:
        self._proxies[key].pop(uid, None)
        if not self._proxies[key]:
            del self._proxies[key]

    def owned_objects(self, key: Key, kind: str) -> tuple[Mapping[str, Any], ...]:
        """All of one kind that bear the pool's label."""
        namespace, pool = key
        return tuple(
            body
            for (its, where, _), body in self._owned_objects.items()
            if (its, where) == (kind, namespace)
            and body["metadata"].get("labels", {}).get(LABEL_POOL) == pool
        )

    def owned_object(self, kind: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        return self._owned_objects.get((kind, namespace, name))

    def put_owned_object(self, kind: str, body: Mapping[str, Any]) -> None:
        meta = body["metadata"]
        kept = {key: body[key] for key in _KEPT if key in body}
        kept["metadata"] = {key: meta[key] for key in _KEPT_META if key in meta}
        self._owned_objects[kind, meta["namespace"], meta["name"]] = kept

    def drop_owned_object(self, kind: str, namespace: str, name: str) -> None:
        self._owned_objects.pop((kind, namespace, name), None)

    def drop_pool(self, key: Key) -> None:
        """The pool is gone. Its pods stay until they are gone, too."""
        self.pools.pop(key, None)
        if not self._pods.get(key):
            self._pods.pop(key, None)
