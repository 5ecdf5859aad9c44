"""The metadata of every object of a pool."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ocrpool.planner.observed import ObservedPool
from ocrpool.resource import names

Object = dict[str, Any]


def metadata_for(pool: ObservedPool, name: str) -> Object:
    """Name, labels, and the pool as the owner: Kubernetes deletes the object after the pool."""
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
    """The metadata with a label that is a hash of the whole spec. An object is compared with the
    desired one field by field (`drift.py`), which does not notice a field that is no longer
    desired. The label does."""
    text = json.dumps(spec, sort_keys=True)
    revision = hashlib.sha256(text.encode()).hexdigest()[:10]
    return {**meta, "labels": {**meta["labels"], names.REVISION: revision}}


def worker_labels(pool: ObservedPool) -> dict[str, str]:
    """The labels that select the pods of a pool's workers."""
    return {names.LABEL_MANAGED: names.MANAGER, names.LABEL_POOL: pool.name}
