"""Names, labels and annotations of the objects that the operator creates."""

from __future__ import annotations

GROUP = "ocrpool.dev"
VERSION = "v1alpha1"
KIND = "OcrPool"
PLURAL = "ocrpools"
SHORT = "ocrp"

# Default name of an operator, and default of spec.operatorName.
OPERATOR = "ocrpool"
# Field manager of everything that the operator writes.
MANAGER = "ocrpool-operator"
FINALIZER = f"{GROUP}/drain"

# Prefix of labels that are reserved for the operator.
LABEL_PREFIX = f"{GROUP}/"
LABEL_POOL = f"{GROUP}/pool"
LABEL_MANAGED = "app.kubernetes.io/managed-by"
# Removed from a pod that drains, so that the Service sends it no new requests.
LABEL_SERVING = f"{GROUP}/serving"
LABEL_NAME = "app.kubernetes.io/name"
# On the pods of a proxy instead of LABEL_POOL, which selects workers.
LABEL_PROXY = f"{GROUP}/proxy"

# Annotations of a worker pod: the revision it was made from, and since when it drains.
REVISION = f"{GROUP}/revision"
DRAINING_SINCE = f"{GROUP}/draining-since"

# Annotations for cluster autoscalers. cluster-autoscaler does not evict pods that a custom resource
# owns, nor pods with an emptyDir, unless the first is "true". Karpenter does not disrupt the node
# of a pod whose second is "true".
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
# Image of workers if neither the pool nor the operator names one.
WORKER_IMAGE = "ocrpool-worker:latest"

DATA_PORT = 8080
CONTROL_PORT = 8081
# Port of a proxy for probes, metrics and the state of its backends.
PROXY_PORT = 8405


def disruption_annotations(evictable: bool) -> dict[str, str]:
    """Return the annotations that tell both autoscalers whether a pod may be evicted."""
    return {
        SAFE_TO_EVICT: "true" if evictable else "false",
        DO_NOT_DISRUPT: "false" if evictable else "true",
    }


def labels_of(pool: str) -> dict[str, str]:
    """Return the labels of every object of a pool."""
    return {LABEL_NAME: "ocrpool-worker", LABEL_MANAGED: MANAGER, LABEL_POOL: pool}


def selector_of(pool: str) -> str:
    """Return a label selector for the worker pods of a pool."""
    return f"{LABEL_MANAGED}={MANAGER},{LABEL_POOL}={pool}"


def settings_name(pool: str) -> str:
    """Return the name of the ConfigMap with the workers' settings."""
    return f"{pool}-settings"


def token_name(pool: str) -> str:
    """Return the name of the Secret with the control token."""
    return f"{pool}-control"


# Objects of two pools must never have the same kind and name. Each pool has a Service, a
# PodDisruptionBudget and a NetworkPolicy with the name of the pool. So further objects of these
# kinds get a name that no pool can have: with a dot or, where a dot is not allowed, with the uid.


def proxy_name(pool: str) -> str:
    """Return the name of a proxy's Deployment and ConfigMap."""
    return f"{pool}-proxy"


def proxy_guard_name(pool: str) -> str:
    """Return the name of a proxy's PodDisruptionBudget and NetworkPolicy."""
    return f"{pool}.proxy"


def pods_service(pool: str, uid: str) -> str:
    """Return the name of the headless Service that resolves to all ready workers."""
    return f"{pool[:40].rstrip('-')}-pods-{uid[:8]}"


def lease_name(operator: str) -> str:
    """Return the name of the Lease that all replicas of an operator share."""
    return f"{operator}-operator"


def proxy_labels(pool: str) -> dict[str, str]:
    """Return the labels that select a proxy's pods."""
    return {LABEL_MANAGED: MANAGER, LABEL_PROXY: pool}


def proxy_selector(pool: str) -> str:
    """Return a label selector for the pods of a proxy."""
    return ",".join(f"{key}={value}" for key, value in proxy_labels(pool).items())


def worker_name(pool: str, index: int) -> str:
    """Return the name of the pod with this index. A replacement gets the same name."""
    return f"{pool}-{index}"


def worker_index(pool: str, pod: str) -> int | None:
    """Return the index in a worker pod's name, or None for another name."""
    head, _, tail = pod.rpartition("-")
    return int(tail) if head == pool and tail.isdecimal() else None
