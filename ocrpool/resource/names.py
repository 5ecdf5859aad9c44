"""The names that the operator puts on things in a cluster, in one place."""

from __future__ import annotations

GROUP = "ocrpool.dev"
VERSION = "v1alpha1"
KIND = "OcrPool"
PLURAL = "ocrpools"
SHORT = "ocrp"

# Of a pool that names no operator, and of an operator that was given no other name.
OPERATOR = "ocrpool"
# The one field manager of everything that the operator writes.
MANAGER = "ocrpool-operator"
FINALIZER = f"{GROUP}/drain"

# Labels that are ours alone begin with this.
LABEL_PREFIX = f"{GROUP}/"
LABEL_POOL = f"{GROUP}/pool"
LABEL_MANAGED = "app.kubernetes.io/managed-by"
# Taken off a pod that drains, so that the Service sends it nothing new from that moment on.
LABEL_SERVING = f"{GROUP}/serving"
LABEL_NAME = "app.kubernetes.io/name"
# On the pods of a proxy, in the place of LABEL_POOL: they are no workers.
LABEL_PROXY = f"{GROUP}/proxy"

# On a pod: what it was made from, and since when it is being drained.
REVISION = f"{GROUP}/revision"
DRAINING_SINCE = f"{GROUP}/draining-since"

# What cluster autoscalers read on a pod. cluster-autoscaler takes the pods of a custom resource for
# irreplaceable, and those with an emptyDir too, unless the first says "true"; Karpenter leaves the
# node of a pod alone where the second says "true".
SAFE_TO_EVICT = "cluster-autoscaler.kubernetes.io/safe-to-evict"
DO_NOT_DISRUPT = "karpenter.sh/do-not-disrupt"
# Of pools that name no image, where the operator was told none either.
WORKER_IMAGE = "ocrpool-worker:latest"

DATA_PORT = 8080
CONTROL_PORT = 8081
# Of a proxy: probes, metrics, and what it sees of the workers.
PROXY_PORT = 8405


def disruption_annotations(evictable: bool) -> dict[str, str]:
    """The annotations that tell both of them whether a pod's node may go."""
    return {
        SAFE_TO_EVICT: "true" if evictable else "false",
        DO_NOT_DISRUPT: "false" if evictable else "true",
    }


def labels_of(pool: str) -> dict[str, str]:
    """The labels of every object of one pool."""
    return {LABEL_NAME: "ocrpool-worker", LABEL_MANAGED: MANAGER, LABEL_POOL: pool}


def selector_of(pool: str) -> str:
    """A label selector that matches the worker pods of one pool."""
    return f"{LABEL_MANAGED}={MANAGER},{LABEL_POOL}={pool}"


def settings_name(pool: str) -> str:
    """The ConfigMap with the workers' settings."""
    return f"{pool}-settings"


def token_name(pool: str) -> str:
    """The Secret with the control token."""
    return f"{pool}-control"


# No two pools have an object of one kind and one name. A Service, a PodDisruptionBudget and a
# NetworkPolicy may be called as the pool is; so what a pool has of these kinds besides has a name
# that no pool can have: with a dot, or, where a dot is not allowed, with the pool's uid.


def proxy_name(pool: str) -> str:
    """The name of a proxy's Deployment and ConfigMap."""
    return f"{pool}-proxy"


def proxy_guard_name(pool: str) -> str:
    """The name of a proxy's PodDisruptionBudget and NetworkPolicy."""
    return f"{pool}.proxy"


def pods_service(pool: str, uid: str) -> str:
    """The headless Service whose name stands for the address of every ready worker."""
    return f"{pool[:40].rstrip('-')}-pods-{uid[:8]}"


def lease_name(operator: str) -> str:
    """The Lease that all operators of one name share, in their namespace."""
    return f"{operator}-operator"


def proxy_labels(pool: str) -> dict[str, str]:
    """The labels of a proxy's pods, and what selects them."""
    return {LABEL_MANAGED: MANAGER, LABEL_PROXY: pool}


def proxy_selector(pool: str) -> str:
    """A label selector that matches the pods of one proxy."""
    return ",".join(f"{key}={value}" for key, value in proxy_labels(pool).items())


def worker_name(pool: str, index: int) -> str:
    """The name of a worker's pod: the same one for every pod that ever fills this place."""
    return f"{pool}-{index}"


def worker_index(pool: str, pod: str) -> int | None:
    """The place that a pod's name says, or None where it is not a worker's name."""
    head, _, tail = pod.rpartition("-")
    return int(tail) if head == pool and tail.isdecimal() else None
