"""The `Stage` objects of kwok: which status it writes for nodes and pods, and when.

kwok's default stages remove the finalizers of a deleted pod, which kubelet does not do. With these
stages an object waits for its finalizers. kwok's default nodes also write their status every half
minute although they have a lease; these do so every five minutes, as kubelet.
"""

from __future__ import annotations

import json
from typing import Any

# For a deleted pod: a container needs a moment to end.
ENDS_IN_MS = 500

# For a running pod. `Now`, `Quote`, `NodeIPWith` and `PodIPWith` are functions of kwok.
_RUNNING = """
{{ $now := Now }}
conditions:
{{ range $type := list "PodReadyToStartContainers" "Initialized" "ContainersReady" "Ready" }}
- type: {{ $type }}
  status: "True"
  lastTransitionTime: {{ $now | Quote }}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: true
  started: true
  restartCount: 0
  state:
    running:
      startedAt: {{ $now | Quote }}
{{ end }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
podIP: {{ PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace | Quote }}
phase: Running
startTime: {{ $now | Quote }}
"""


# For a live node. Its capacity is in the Node object already. `NodeIP` is a function of kwok.
_LIVES = """
{{ $now := Now }}
addresses:
- type: InternalIP
  address: {{ NodeIP | Quote }}
conditions:
{{ range $type := list "MemoryPressure" "DiskPressure" "PIDPressure" "Ready" }}
- type: {{ $type }}
  status: {{ if eq $type "Ready" }}"True"{{ else }}"False"{{ end }}
  reason: Simulated
  message: no machine is behind this node
  lastHeartbeatTime: {{ $now | Quote }}
  lastTransitionTime: {{ $now | Quote }}
{{ end }}
"""
# As kubelet's `nodeStatusReportFrequency`.
_NODE_STATUS_MS = 300_000


_OPTIONS = {
    "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
    "kind": "KwokConfiguration",
    "options": {
        # With kwok's default of 4, a thousand nodes take minutes.
        "nodePlayStageParallelism": 16,
        "podPlayStageParallelism": 16,
        "nodeLeaseParallelism": 16,
        "podsOnNodeSyncParallelism": 4,
    },
}


def _stage(name: str, kind: str = "Pod", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {"resourceRef": {"apiGroup": "v1", "kind": kind}, **spec},
    }


def _where(deleted: bool, *others: dict[str, Any]) -> dict[str, Any]:
    asked = {
        "key": ".metadata.deletionTimestamp",
        "operator": "Exists" if deleted else "DoesNotExist",
    }
    return {"matchExpressions": [asked, *others]}


def configuration() -> str:
    """kwok's `--config`: JSON documents, which are also YAML."""
    has_no_address = {"key": ".status.podIP", "operator": "DoesNotExist"}
    is_ready = '.status.conditions.[] | select( .type == "Ready" ) | .status'

    def ready(operator: str) -> dict[str, Any]:
        return {"matchExpressions": [{"key": is_ready, "operator": operator, "values": ["True"]}]}

    stages = (
        _stage("node-comes", "Node", selector=ready("NotIn"), next={"statusTemplate": _LIVES}),
        _stage(
            "node-lives",
            "Node",
            selector=ready("In"),
            delay={
                "durationMilliseconds": _NODE_STATUS_MS,
                "jitterDurationMilliseconds": _NODE_STATUS_MS * 5 // 4,
            },
            next={"statusTemplate": _LIVES},
        ),
        _stage(
            "pod-runs",
            selector=_where(False, has_no_address),
            next={"statusTemplate": _RUNNING},
        ),
        _stage(
            "pod-ends",
            selector=_where(True),
            delay={"durationMilliseconds": ENDS_IN_MS},
            next={"delete": True},
        ),
    )
    return "\n---\n".join(json.dumps(each) for each in (_OPTIONS, *stages))
