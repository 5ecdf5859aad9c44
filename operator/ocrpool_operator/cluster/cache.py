"""What the watches reported, by pool. Nothing is created or deleted from the cache alone.

A watch can be late, and a broken watch can miss a deletion. So the operator lists a pool's pods
before it creates or deletes one (`replace_pods`), and a late event never undoes a list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ocrpool.planner.observed import ObservedPod, ObservedPool
from ocrpool.resource.names import LABEL_POOL

Key = tuple[str, str]
# The parts of an owned object that are compared with the desired object.
_KEPT = ("spec", "data", "metadata")
_KEPT_META = ("name", "namespace", "uid", "resourceVersion", "labels", "ownerReferences")


class PoolCache:
    """Pools, their pods, and their other objects. Keys are (namespace, pool)."""

    def __init__(self) -> None:
        self.pools: dict[Key, ObservedPool] = {}
        self._pods: defaultdict[Key, dict[str, ObservedPod]] = defaultdict(dict)
        self._proxies: defaultdict[Key, dict[str, ObservedPod]] = defaultdict(dict)
        self._owned_objects: dict[tuple[str, str, str], Mapping[str, Any]] = {}

    def put_pool(self, pool: ObservedPool) -> bool:
        """Keep a pool, unless it is older than the cached one. Returns whether more than the status
        changed; the operator writes the status itself."""
        held = self.pools.get(pool.key)
        if held is not None and held.uid == pool.uid and held.version > pool.version:
            return False
        self.pools[pool.key] = pool
        return held is None or replace(held, status=pool.status, version=pool.version) != pool

    def pods(self, key: Key) -> tuple[ObservedPod, ...]:
        """All pods with the labels of the pool's workers, including foreign ones."""
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
        """Replace all pods of a pool by those of a list."""
        self._pods[key] = {pod.name: pod for pod in pods}

    def proxy_pods(self, key: Key) -> tuple[ObservedPod, ...]:
        """All pods with the label of the pool's proxy. The Deployment's controller creates them."""
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
        """All objects of one kind with the pool's label."""
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
        """Forget a pool that is gone. Its pods stay until they are gone, too."""
        self.pools.pop(key, None)
        if not self._pods.get(key):
            self._pods.pop(key, None)
