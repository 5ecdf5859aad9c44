"""The metadata that every object of a pool bears."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ocrpool.planner.observed import ObservedPool
from ocrpool.resource import names

Object = dict[str, Any]


def metadata_for(pool: ObservedPool, name: str) -> Object:
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


def with_revision_label(meta: Object, spec: Object) -> Object:
    """What is there is compared with what is wanted field by field, and a field that is not wanted
    any more would not be missed: so the whole has a name."""
    text = json.dumps(spec, sort_keys=True)
    revision = hashlib.sha256(text.encode()).hexdigest()[:10]
    return {**meta, "labels": {**meta["labels"], names.REVISION: revision}}


def worker_labels(pool: ObservedPool) -> dict[str, str]:
    return {names.LABEL_MANAGED: names.MANAGER, names.LABEL_POOL: pool.name}
