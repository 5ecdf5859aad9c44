"""The settings file of a worker, and a revision: a short hash of what a pod is made from.

A pod is annotated with its revision; a pod of another revision is replaced. `instances` is not part
of it, because the operator changes that in running workers.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ocrpool.protocol.settings import MAX_INSTANCES
from ocrpool.resource.spec import AdmissionSpec, EngineSpec, PoolSpec

CONFIG_FILE = "/etc/ocrpool/settings.yaml"
# Keys of a pool's Secret, which is mounted as a folder. The worker finds `proxy` beside the token.
TOKEN_KEY, PROXY_KEY = "token", "proxy"
TOKEN_FILE = f"/etc/ocrpool-control/{TOKEN_KEY}"


def worker_settings(spec: PoolSpec) -> dict[str, Any]:
    """Return the worker's settings file.

    The worker starts with one instance, to measure its footprint; the operator asks for the others.
    """
    dumped = spec.model_dump(mode="json", by_alias=True)
    # An older worker image does not know these fields and would refuse to start.
    if spec.engine.max_regions == EngineSpec().max_regions:
        del dumped["engine"]["maxRegions"]
    if spec.admission.page_seconds == AdmissionSpec().page_seconds:
        del dumped["admission"]["pageSeconds"]
    return {
        "device": spec.device,
        "instances": {"min": 1, "max": MAX_INSTANCES},
        "engine": dumped["engine"],
        "models": {"dir": spec.models_dir},
        "admission": dumped["admission"],
        "memory": dumped["memory"],
        "recycle": dumped["recycle"],
        "http": {
            "tokenFile": TOKEN_FILE,
            "lameDuckSeconds": spec.template.lame_duck_seconds,
            "graceSeconds": spec.template.grace_seconds,
        },
    }


def revision_of(spec: PoolSpec) -> str:
    """Return ten hexadecimal digits that change when running workers must be replaced."""
    settings = worker_settings(spec)
    parts = {
        "settings": settings,
        "models": spec.models.model_dump(mode="json"),
        "template": spec.template.model_dump(mode="json"),
        "resource": spec.resource_name if spec.device == "gpu" else "",
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
