"""The ConfigMaps of a pool: the settings of its workers, and haproxy.cfg of its proxy."""

from __future__ import annotations

import yaml

from ocrpool.planner.observed import ObservedPool
from ocrpool.planner.workers.revision import worker_settings
from ocrpool.resource import names
from ocrpool_operator.manifests.metadata import Object, metadata_for

# The file that the proxy's container mounts.
PROXY_CONFIG_KEY = "haproxy.cfg"


def settings_config_map(pool: ObservedPool) -> Object:
    """The ConfigMap that every worker mounts."""
    settings = yaml.safe_dump(worker_settings(pool.spec), sort_keys=False)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata_for(pool, names.settings_name(pool.name)),
        "data": {"settings.yaml": settings},
    }


def proxy_config_map(pool: ObservedPool, config: str) -> Object:
    """The ConfigMap that the proxy mounts."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata_for(pool, names.proxy_name(pool.name)),
        "data": {PROXY_CONFIG_KEY: config},
    }
