"""The NetworkPolicies of a pool: who may connect to its workers and its proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ocrpool.planner.observed import ObservedPool
from ocrpool.resource import names
from ocrpool_operator.manifests.metadata import Object, metadata_for, with_revision_label

# The ingress rules of every pool's NetworkPolicies; None: pools have no NetworkPolicy.
IngressRules = Sequence[Object] | None


def network_policies(pool: ObservedPool, ingress: Sequence[Object]) -> tuple[Object, ...]:
    """One for the workers, and one for the proxy if there is one. The kubelet's probes come from
    the node and are always allowed. Both have the same rules: only the data port is common to
    workers and proxy."""
    selected = {pool.name: names.labels_of(pool.name)}
    if pool.spec.proxy is not None:
        selected[names.proxy_guard_name(pool.name)] = names.proxy_labels(pool.name)
    return tuple(_network_policy(pool, *each, ingress) for each in selected.items())


def _network_policy(
    pool: ObservedPool, name: str, labels: Mapping[str, str], ingress: Sequence[Object]
) -> Object:
    spec = {
        "podSelector": {"matchLabels": labels},
        "policyTypes": ["Ingress"],
        "ingress": list(ingress),
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": with_revision_label(metadata_for(pool, name), spec),
        "spec": spec,
    }
