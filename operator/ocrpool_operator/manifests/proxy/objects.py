"""The objects of a proxy, as they are sent to the API server."""

from __future__ import annotations

from ocrpool.planner.observed import ObservedPool
from ocrpool.resource import names
from ocrpool_operator.manifests.disruption_budgets import proxy_disruption_budget
from ocrpool_operator.manifests.metadata import Object, metadata_for, with_revision_label
from ocrpool_operator.manifests.proxy.deployment import CONFIG_KEY, deployment_spec
from ocrpool_operator.manifests.proxy.haproxy import haproxy_cfg, proxy_config
from ocrpool_operator.manifests.services import worker_pods_service


def proxy_objects(pool: ObservedPool, domain: str) -> tuple[Object, ...]:
    """What there shall be for a pool's proxy; nothing where it asks for none. `domain`: the
    cluster's, as in cluster.local."""
    spec = pool.spec
    if spec.proxy is None:
        return ()
    host = f"{names.pods_service(pool.name, pool.uid)}.{pool.namespace}.svc.{domain}"
    text = haproxy_cfg(proxy_config(spec, spec.proxy, host))
    deployment = deployment_spec(pool, spec, spec.proxy, text)
    name = names.proxy_name(pool.name)
    return (
        worker_pods_service(pool),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata_for(pool, name),
            "data": {CONFIG_KEY: text},
        },
        proxy_disruption_budget(pool),
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": with_revision_label(metadata_for(pool, name), deployment),
            "spec": deployment,
        },
    )
