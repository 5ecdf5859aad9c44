"""The metadata that every object of a pool bears."""

from __future__ import annotations

from typing import Any

from ocrpool_operator.api import names
from ocrpool_operator.planner.observed import Pool

Object = dict[str, Any]


def meta_of(pool: Pool, name: str) -> Object:
    """Its name and labels, and the pool as its owner, with which it is collected."""
    return {
        "name": name,
        "namespace": pool.namespace,
        "labels": names.labels_of(pool.name),
        "ownerReferences": [
            {
                "apiVersion": f"{names.GROUP}/{names.VERSION}",
                "kind": names.KIND,
                "name": pool.name,
                "uid": pool.uid,
                "controller": True,
            }
        ],
    }
