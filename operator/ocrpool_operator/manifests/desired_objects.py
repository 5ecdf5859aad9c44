"""All objects that a pool has besides its pods, its Secret and its Service."""

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
    """What a pool has besides its pods, its Secret and its Service, written whenever it differs.
    `evict`: a worker that is ready may be evicted; one that is not always may. `domain`: the
    cluster's."""
    policies = () if ingress is None else network_policies(pool, ingress)
    return (
        settings_config_map(pool),
        workers_disruption_budget(pool, evict=evict),
        *proxy_objects(pool, domain),
        *policies,
    )
