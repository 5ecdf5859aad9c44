"""The Services of a pool: one for clients, and one for its proxy."""

from __future__ import annotations

from ocrpool.planner.observed import ObservedPool
from ocrpool.resource import names
from ocrpool_operator.manifests.metadata import Object, metadata_for, worker_labels


def client_service(pool: ObservedPool, *, proxied: bool) -> Object:
    """The Service for clients. `proxied`: it selects the proxy's pods; else the workers'."""
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
    """The headless Service whose DNS name the proxy resolves to the workers that take requests. A
    worker that is not ready is not in it: HAProxy considers a new address healthy."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata_for(pool, names.pods_service(pool.name, pool.uid)),
        "spec": {
            "clusterIP": "None",
            "selector": {**worker_labels(pool), names.LABEL_SERVING: "true"},
            "ports": [http_port()],
        },
    }


def http_port() -> Object:
    """The port for OCR requests."""
    return {"name": "http", "protocol": "TCP", "port": names.DATA_PORT, "targetPort": "http"}
