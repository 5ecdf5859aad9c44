"""The PodDisruptionBudgets of a pool: how many pods Kubernetes may evict at once."""

from __future__ import annotations

from ocrpool.planner.observed import ObservedPool
from ocrpool.resource import names
from ocrpool_operator.manifests.metadata import Object, metadata_for, worker_labels


def workers_disruption_budget(pool: ObservedPool, *, evict: bool) -> Object:
    """`evict`: one worker that is ready may be evicted at a time, else none. A worker that is not
    ready may always be evicted."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata_for(pool, pool.name),
        "spec": {
            "maxUnavailable": 1 if evict else 0,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": worker_labels(pool)},
        },
    }


def proxy_disruption_budget(pool: ObservedPool) -> Object:
    """One pod of the proxy may be evicted at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata_for(pool, names.proxy_guard_name(pool.name)),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": names.proxy_labels(pool.name)},
        },
    }
