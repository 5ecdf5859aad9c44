"""The Deployment of a proxy."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from ocrpool.planner.observed import ObservedPool
from ocrpool.planner.workers.revision import PROXY_KEY
from ocrpool.protocol.quantity import parse_bytes
from ocrpool.resource import names
from ocrpool.resource.spec import PoolSpec, ProxySpec
from ocrpool_operator.manifests.metadata import Object
from ocrpool_operator.manifests.pod_defaults import (
    container_defaults,
    pod_defaults,
    probes,
    without_empty_fields,
)
from ocrpool_operator.manifests.proxy.haproxy import PROXY_SECRET, termination_grace_seconds

CONFIG_FOLDER = "/etc/ocrpool-proxy"
CONFIG_KEY = "haproxy.cfg"
# A change of it makes the Deployment roll.
CONFIG_HASH = f"{names.GROUP}/config"
# HAProxy itself, and what its buffers leave behind. Measured: docs/proxy.md.
BASE_MEMORY = 128 * 2**20


def deployment_spec(pool: ObservedPool, spec: PoolSpec, proxy: ProxySpec, text: str) -> Object:
    labels = names.proxy_labels(pool.name)
    config = hashlib.sha256(text.encode()).hexdigest()[:10]
    pod: Object = {
        "containers": [_container(pool, proxy)],
        "volumes": [
            {"name": "config", "configMap": {"name": names.proxy_name(pool.name)}},
        ],
        "terminationGracePeriodSeconds": termination_grace_seconds(spec),
        **pod_defaults(writes=False),
        "affinity": proxy.affinity or _apart(labels),
        "nodeSelector": proxy.node_selector,
        "tolerations": list(proxy.tolerations),
        "imagePullSecrets": list(proxy.image_pull_secrets),
        "priorityClassName": proxy.priority_class_name,
    }
    return {
        "replicas": proxy.replicas,
        "selector": {"matchLabels": labels},
        # A new one takes requests before an old one ends.
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "template": {
            "metadata": {
                "labels": {**proxy.labels, names.LABEL_NAME: "ocrpool-proxy", **labels},
                "annotations": {**proxy.annotations, CONFIG_HASH: config},
            },
            "spec": without_empty_fields(pod),
        },
    }


def _apart(labels: dict[str, str]) -> Object:
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _container(pool: ObservedPool, proxy: ProxySpec) -> Object:
    # Optional: a Secret of an older operator has none, and workers then believe nobody.
    secret = {"name": names.token_name(pool.name), "key": PROXY_KEY, "optional": True}
    return {
        "name": "proxy",
        "image": proxy.image,
        "imagePullPolicy": proxy.image_pull_policy,
        "command": ["haproxy", "-db", "-f", f"{CONFIG_FOLDER}/{CONFIG_KEY}"],
        "env": [{"name": PROXY_SECRET, "valueFrom": {"secretKeyRef": secret}}],
        "ports": [
            {"name": "http", "containerPort": names.DATA_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": names.PROXY_PORT, "protocol": "TCP"},
        ],
        "resources": _resources(proxy),
        "volumeMounts": [{"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True}],
        **probes("metrics", ready_seconds=2, ready_timeout=2),
        **container_defaults(),
    }


def _resources(proxy: ProxySpec) -> Object:
    """What was asked for; and at least a memory limit under which no load gets it killed."""
    found: dict[str, dict[str, Any]] = {
        key: dict(value) for key, value in proxy.resources.items() if isinstance(value, dict)
    }
    requests = found.setdefault("requests", {})
    requests.setdefault("cpu", "100m")
    requests.setdefault("memory", _mebibytes(BASE_MEMORY))
    limits = found.setdefault("limits", {})
    limits.setdefault("memory", _mebibytes(peak_memory_bytes(proxy)))
    return found


def _mebibytes(count: int) -> str:
    return f"{math.ceil(count / 2**20)}Mi"


def peak_memory_bytes(proxy: ProxySpec) -> int:
    """Bytes: each request held twice, once to be sent and once to be sent again."""
    return BASE_MEMORY + 2 * proxy.max_requests * parse_bytes(proxy.buffer)
