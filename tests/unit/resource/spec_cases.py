"""Specs that break a rule between fields, with a part of the sentence that says so.

Both shells are held to them: the API server through the CRD, `ocrpool` through the same rules.
"""

from __future__ import annotations

from typing import Any

BROKEN: tuple[tuple[dict[str, Any], str], ...] = (
    ({"instances": {"min": 3, "max": 2}}, "instances.min must not be above instances.max"),
    ({"replicas": 2, "autoscaling": {"minReplicas": 1}}, "replicas and autoscaling exclude each"),
    (
        {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}},
        "autoscaling.minReplicas must not be above",
    ),
    ({"device": "cpu", "resourceName": "nvidia.com/mig-1g.10gb"}, "resourceName is for device gpu"),
    ({"recycle": {"memoryGrowth": 0.5}}, "recycle.memoryGrowth must be above 1"),
    (
        {"models": {"hostPath": "/m", "claim": {"name": "c"}}},
        "models.claim and models.hostPath exclude each other",
    ),
)
