"""The Services of a pool."""

from __future__ import annotations

from ocrpool.planner.observed import ObservedPool
from ocrpool.resource import names
from ocrpool_operator.manifests.metadata import Object, metadata_for, worker_labels


def client_service(pool: ObservedPool, *, proxied: bool) -> Object:
    """The Service that clients talk to. `proxied`: it goes to the proxy; else to the workers."""
    workers = {**worker_labels(pool), names.LABEL_SERVING: "true"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata_for(pool, pool.name),
        "spec": {
            "selector": names.proxy_labels(pool.name) if proxied else workers,
            "ports": [http_port()],
        },
    }


def worker_pods_service(pool: ObservedPool) -> Object:
    """The name that stands for every worker that takes requests. A worker that is not ready is not
    in it: HAProxy takes an address that it did not know for one that works."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata_for(pool, names.pods_service(pool.name, pool.uid)),
        "spec": {
            "clusterIP": "None",
            "selector": {
                names.LABEL_MANAGED: names.MANAGER,
                names.LABEL_POOL: pool.name,
                names.LABEL_SERVING: "true",
            },
            "ports": [http_port()],
        },
    }


def http_port() -> Object:
    """The port of a Service that clients talk to."""
    return {"name": "http", "protocol": "TCP", "port": names.DATA_PORT, "targetPort": "http"}
