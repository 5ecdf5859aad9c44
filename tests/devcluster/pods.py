"""The manifests that these tests apply."""

from __future__ import annotations

from typing import Any

from tools.devcluster.images import tag_of
from tools.devcluster.testing import Namespace

PORT = 8080


def pod(name: str, labels: dict[str, str] | None = None, **container: Any) -> dict[str, Any]:
    """A pod of our test image; `container` adds to its container."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "main",
                    "image": tag_of("testimage"),
                    "imagePullPolicy": "Never",
                    "readinessProbe": {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1},
                    **container,
                }
            ],
        },
    }


def service(name: str, app: str, **spec: Any) -> dict[str, Any]:
    """A Service for the pods with this `app`. Its name must differ from the pods' names."""
    ports = [{"port": 80, "targetPort": PORT}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": app}, "ports": ports, **spec},
    }


def await_ready(namespace: Namespace, *names: str) -> None:
    namespace.kubectl(
        "wait", "--for=condition=Ready", "--timeout=50s", *(f"pod/{name}" for name in names)
    )


def run_python(namespace: Namespace, name: str, code: str) -> str:
    """The output of Python code that runs inside a pod."""
    return namespace.kubectl("exec", name, "--", "python3", "-c", code).strip()
