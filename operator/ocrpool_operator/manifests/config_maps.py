"""The ConfigMap that a pool's workers mount: their settings."""

from __future__ import annotations

import yaml

from ocrpool.planner.observed import ObservedPool
from ocrpool.planner.workers.revision import worker_settings
from ocrpool.resource import names
from ocrpool_operator.manifests.metadata import Object, metadata_for


def settings_config_map(pool: ObservedPool) -> Object:
    settings = yaml.safe_dump(worker_settings(pool.spec), sort_keys=False)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata_for(pool, names.settings_name(pool.name)),
        "data": {"settings.yaml": settings},
    }
