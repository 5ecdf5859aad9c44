"""All objects that a pool has for its proxy."""

from __future__ import annotations

from ocrpool.planner.observed import ObservedPool
from ocrpool.resource import names
from ocrpool_operator.manifests.config_maps import proxy_config_map
from ocrpool_operator.manifests.disruption_budgets import proxy_disruption_budget
from ocrpool_operator.manifests.metadata import Object
from ocrpool_operator.manifests.proxy.deployment import proxy_deployment
from ocrpool_operator.manifests.proxy.haproxy import haproxy_cfg, proxy_config
from ocrpool_operator.manifests.services import worker_pods_service


def proxy_objects(pool: ObservedPool, domain: str) -> tuple[Object, ...]:
    """The objects of a pool's proxy; none if `spec.proxy` is not set. `domain`: the cluster's, as
    in cluster.local."""
    spec = pool.spec
    if spec.proxy is None:
        return ()
    host = f"{names.pods_service(pool.name, pool.uid)}.{pool.namespace}.svc.{domain}"
    config = haproxy_cfg(proxy_config(spec, spec.proxy, host))
    return (
        worker_pods_service(pool),
        proxy_config_map(pool, config),
        proxy_disruption_budget(pool),
        proxy_deployment(pool, spec.proxy, config),
    )
