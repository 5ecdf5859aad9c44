"""The pod of a worker, and the fields of it that change during its life."""

from __future__ import annotations

import math

from ocrpool.planner.observed import ObservedPod, ObservedPool
from ocrpool.planner.timestamps import format_timestamp
from ocrpool.planner.workers.revision import CONFIG_FILE, TOKEN_FILE
from ocrpool.resource import names
from ocrpool_operator.manifests.metadata import Object, metadata_for
from ocrpool_operator.manifests.pod_defaults import (
    container_defaults,
    pod_defaults,
    probes,
    without_empty_fields,
)


def worker_pod(pool: ObservedPool, name: str, revision: str) -> Object:
    """The pod of one worker. `name`: its place in the pool; `revision`: of the template."""
    template = pool.spec.template
    meta = metadata_for(pool, name)
    meta["labels"] = {**template.labels, **meta["labels"], names.LABEL_SERVING: "true"}
    # A new worker needs its node. Later, `pod_lifecycle_patch` changes this annotation.
    eviction = names.disruption_annotations(False) if pool.spec.annotates_evictable else {}
    meta["annotations"] = {**eviction, **template.annotations, names.REVISION: revision}
    spec: Object = {
        "containers": [_container(pool)],
        "volumes": _volumes(pool),
        # The worker's own times, and 5 s for its processes to end.
        "terminationGracePeriodSeconds": math.ceil(
            template.lame_duck_seconds + template.grace_seconds
        )
        + 5,
        **pod_defaults(writes=True),
        "nodeSelector": template.node_selector,
        "tolerations": list(template.tolerations),
        "affinity": template.affinity,
        "imagePullSecrets": list(template.image_pull_secrets),
        "priorityClassName": template.priority_class_name,
        "runtimeClassName": template.runtime_class_name,
        "serviceAccountName": template.service_account_name,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": without_empty_fields(spec)}


def pod_lifecycle_patch(
    pool: ObservedPool, pod: ObservedPod, *, draining: float | None, evictable: bool = False
) -> Object:
    """All fields of a pod that change during its life: server-side apply removes those that are
    left out. `draining`: since when, in seconds since the epoch."""
    annotations = names.disruption_annotations(evictable) if pool.spec.annotates_evictable else {}
    if draining is not None:
        annotations[names.DRAINING_SINCE] = format_timestamp(draining)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name,
            "namespace": pool.namespace,
            "uid": pod.uid,
            "labels": {names.LABEL_SERVING: "true" if draining is None else "false"},
            "annotations": annotations,
        },
    }


def _container(pool: ObservedPool) -> Object:
    spec = pool.spec
    resources = {key: dict(value) for key, value in spec.template.resources.items()}
    if spec.device == "gpu":
        # Kubernetes wants an extended resource in both, as an integer.
        for part in ("requests", "limits"):
            resources.setdefault(part, {})[spec.resource_name] = "1"
    mounts = [
        {"name": "settings", "mountPath": CONFIG_FILE.rpartition("/")[0], "readOnly": True},
        {"name": "control", "mountPath": TOKEN_FILE.rpartition("/")[0], "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]
    if spec.models.claim is not None or spec.models.host_path is not None:
        mount: Object = {"name": "models", "mountPath": spec.models_dir, "readOnly": True}
        if spec.models.claim is not None and spec.models.claim.sub_path:
            mount["subPath"] = spec.models.claim.sub_path
        mounts.append(mount)
    return {
        "name": "worker",
        "image": spec.template.image,
        "imagePullPolicy": spec.template.image_pull_policy,
        # The image's entrypoint is `ocrpool-worker`, under an init that reaps zombies. The address
        # is not in the settings, because a change of these rolls the workers.
        "args": [
            *("serve", "--config", CONFIG_FILE),
            *("--host", "0.0.0.0", "--on-failed-start", "wait"),
        ],
        "env": list(spec.template.env),
        "ports": [
            {"name": "http", "containerPort": names.DATA_PORT},
            {"name": "control", "containerPort": names.CONTROL_PORT},
        ],
        "resources": resources,
        "volumeMounts": mounts,
        **probes("control", ready_seconds=5, ready_timeout=3),
        **container_defaults(),
    }


def _volumes(pool: ObservedPool) -> list[Object]:
    volumes: list[Object] = [
        {"name": "settings", "configMap": {"name": names.settings_name(pool.name)}},
        {"name": "control", "secret": {"secretName": names.token_name(pool.name)}},
        {"name": "tmp", "emptyDir": {}},
    ]
    models = pool.spec.models
    if models.claim is not None:
        claim = {"claimName": models.claim.name, "readOnly": True}
        volumes.append({"name": "models", "persistentVolumeClaim": claim})
    elif models.host_path is not None:
        host = {"path": models.host_path, "type": "Directory"}
        volumes.append({"name": "models", "hostPath": host})
    return volumes
