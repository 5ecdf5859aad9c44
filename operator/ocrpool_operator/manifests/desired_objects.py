"""All objects that a pool has, besides its pods, its Secret and its Service for clients."""

from __future__ import annotations

from ocrpool.planner.observed import ObservedPool
from ocrpool_operator.manifests.config_maps import settings_config_map
from ocrpool_operator.manifests.disruption_budgets import workers_disruption_budget
from ocrpool_operator.manifests.metadata import Object
from ocrpool_operator.manifests.network_policies import IngressRules, network_policies
from ocrpool_operator.manifests.proxy.objects import proxy_objects


def desired_objects(
    pool: ObservedPool, ingress: IngressRules = None, *, evict: bool, domain: str
) -> tuple[Object, ...]:
    """The objects that the operator creates, and changes back whenever they differ. `evict`: one
    worker that is ready may be evicted. `domain`: the cluster's, as in cluster.local."""
    policies = () if ingress is None else network_policies(pool, ingress)
    return (
        settings_config_map(pool),
        workers_disruption_budget(pool, evict=evict),
        *proxy_objects(pool, domain),
        *policies,
    )
