"""The Secret of a pool, with its two tokens."""

from __future__ import annotations

from ocrpool.planner.observed import ObservedPool
from ocrpool.planner.workers.revision import PROXY_KEY, TOKEN_KEY
from ocrpool.resource import names
from ocrpool_operator.manifests.metadata import Object, metadata_for


def control_secret(pool: ObservedPool, token: str, proxy: str) -> Object:
    """`token` lets only the operator call the workers' control ports. `proxy` lets only the pool's
    proxy tell the workers who a client is."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata_for(pool, names.token_name(pool.name)),
        "type": "Opaque",
        "stringData": {TOKEN_KEY: token, PROXY_KEY: proxy},
    }
