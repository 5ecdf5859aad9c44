"""The Deployment of a pool's proxy."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from ocrpool.planner.observed import ObservedPool
from ocrpool.planner.workers.revision import PROXY_KEY
from ocrpool.protocol.quantity import parse_bytes
from ocrpool.resource import names
from ocrpool.resource.spec import ProxySpec
from ocrpool_operator.manifests.config_maps import PROXY_CONFIG_KEY
from ocrpool_operator.manifests.metadata import Object, metadata_for, with_revision_label
from ocrpool_operator.manifests.pod_defaults import (
    container_defaults,
    pod_defaults,
    probes,
    without_empty_fields,
)
from ocrpool_operator.manifests.proxy.haproxy import PROXY_SECRET, termination_grace_seconds

CONFIG_FOLDER = "/etc/ocrpool-proxy"
# An annotation of the pods. Its change makes the Deployment roll.
CONFIG_HASH = f"{names.GROUP}/config"
# HAProxy without requests, and what its buffers leave allocated. Measured: docs/proxy.md.
BASE_MEMORY = 128 * 2**20


def proxy_deployment(pool: ObservedPool, proxy: ProxySpec, config: str) -> Object:
    """`config`: the text of haproxy.cfg; the pods are replaced when it changes."""
    spec = _deployment_spec(pool, proxy, config)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": with_revision_label(metadata_for(pool, names.proxy_name(pool.name)), spec),
        "spec": spec,
    }


def _deployment_spec(pool: ObservedPool, proxy: ProxySpec, config: str) -> Object:
    labels = names.proxy_labels(pool.name)
    config_hash = hashlib.sha256(config.encode()).hexdigest()[:10]
    pod: Object = {
        "containers": [_container(pool, proxy)],
        "volumes": [
            {"name": "config", "configMap": {"name": names.proxy_name(pool.name)}},
        ],
        "terminationGracePeriodSeconds": termination_grace_seconds(pool.spec),
        **pod_defaults(writes=False),
        "affinity": proxy.affinity or _spread_over_nodes(labels),
        "nodeSelector": proxy.node_selector,
        "tolerations": list(proxy.tolerations),
        "imagePullSecrets": list(proxy.image_pull_secrets),
        "priorityClassName": proxy.priority_class_name,
    }
    return {
        "replicas": proxy.replicas,
        "selector": {"matchLabels": labels},
        # A new pod takes requests before an old one ends.
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        "template": {
            "metadata": {
                "labels": {**proxy.labels, names.LABEL_NAME: "ocrpool-proxy", **labels},
                "annotations": {**proxy.annotations, CONFIG_HASH: config_hash},
            },
            "spec": without_empty_fields(pod),
        },
    }


def _spread_over_nodes(labels: dict[str, str]) -> Object:
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _container(pool: ObservedPool, proxy: ProxySpec) -> Object:
    # Optional: the Secret of an older operator has no such key. Workers then trust no proxy.
    secret = {"name": names.token_name(pool.name), "key": PROXY_KEY, "optional": True}
    return {
        "name": "proxy",
        "image": proxy.image,
        "imagePullPolicy": proxy.image_pull_policy,
        "command": ["haproxy", "-db", "-f", f"{CONFIG_FOLDER}/{PROXY_CONFIG_KEY}"],
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
    """The resources of the spec, with defaults. The default memory limit holds under any load."""
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
    """Bytes if all buffers are full. A request is held twice: to send it, and to send it again."""
    return BASE_MEMORY + 2 * proxy.max_requests * parse_bytes(proxy.buffer)
