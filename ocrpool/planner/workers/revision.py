"""What a worker is made from, as its settings file, and a short name for it.

A pod keeps the name of the revision that it was made from; another one is a reason to replace it.
`instances` is left out of it: the operator asks running workers for that.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ocrpool.resource.spec import AdmissionSpec, EngineSpec, PoolSpec

# As many instances as a spec can ask for: how many there are is the operator's to say.
MAX_INSTANCES = 256
CONFIG_FILE = "/etc/ocrpool/settings.yaml"
# The keys of a pool's Secret, mounted as a folder; a worker finds `proxy` beside the token.
TOKEN_KEY, PROXY_KEY = "token", "proxy"
TOKEN_FILE = f"/etc/ocrpool-control/{TOKEN_KEY}"


def worker_settings(spec: PoolSpec) -> dict[str, Any]:
    """The worker's settings file, in the words of the spec.

    It starts with one instance, whose footprint is measured alone; the operator asks for the rest.
    """
    said = spec.model_dump(mode="json", by_alias=True)
    # A worker that is older than a field would not start with it.
    if spec.engine.max_regions == EngineSpec().max_regions:
        del said["engine"]["maxRegions"]
    if spec.admission.page_seconds == AdmissionSpec().page_seconds:
        del said["admission"]["pageSeconds"]
    return {
        "device": spec.device,
        "instances": {"min": 1, "max": MAX_INSTANCES},
        "engine": said["engine"],
        "models": {"dir": spec.models_dir},
        "admission": said["admission"],
        "memory": said["memory"],
        "recycle": said["recycle"],
        "http": {
            "tokenFile": TOKEN_FILE,
            "lameDuckSeconds": spec.template.lame_duck_seconds,
            "graceSeconds": spec.template.grace_seconds,
        },
    }


def revision_of(spec: PoolSpec) -> str:
    """Ten hexadecimal digits that change when running workers have to be replaced."""
    settings = worker_settings(spec)
    parts = {
        "settings": settings,
        "models": spec.models.model_dump(mode="json"),
        "template": spec.template.model_dump(mode="json"),
        "resource": spec.resource_name if spec.device == "gpu" else "",
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
