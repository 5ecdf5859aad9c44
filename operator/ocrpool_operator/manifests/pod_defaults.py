"""Fields that the pods of workers and of proxies have in common: probes, and the restricted Pod
Security level (kubernetes.io/docs/concepts/security/pod-security-standards)."""

from __future__ import annotations

from typing import Any

from ocrpool_operator.manifests.metadata import Object

# The user of the worker's image.
USER = 65532


def pod_defaults(*, writes: bool) -> Object:
    """Fields of a pod's spec. `writes`: its group owns its volumes, so that it can write there."""
    context: Object = {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {**context, "fsGroup": USER} if writes else context,
    }


def container_defaults() -> Object:
    """Fields of a container."""
    return {
        # The last log lines of a worker that exits by itself say what is wrong with its settings.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def probes(port: str, *, ready_seconds: int, ready_timeout: int) -> Object:
    """Liveness and readiness probes of a container, on its port of that name."""

    def probe(path: str, period: int, timeout: int, failures: int) -> dict[str, Any]:
        return {
            "httpGet": {"path": path, "port": port},
            "periodSeconds": period,
            "timeoutSeconds": timeout,
            "failureThreshold": failures,
        }

    return {
        "livenessProbe": probe("/livez", 10, 5, 6),
        "readinessProbe": probe("/readyz", ready_seconds, ready_timeout, 2),
    }


def without_empty_fields(spec: Object) -> Object:
    """The fields of a spec that have a value."""
    return {key: value for key, value in spec.items() if value not in (None, {}, [])}
