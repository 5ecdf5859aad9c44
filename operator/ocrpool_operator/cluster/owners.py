"""Ownership of objects. A pool owns an object only if the object's controller reference has the
pool's uid. A name or a label is not enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ocrpool.planner.observed import ObservedPod, ObservedPool, PoolProblem
from ocrpool.resource import names

Body = Mapping[str, Any]
NAME_TAKEN = "NameTaken"
_HELM = "meta.helm.sh/release-name"
_KUBECTL = "kubectl.kubernetes.io/last-applied-configuration"
# Taken names that one message lists.
_MAX_LISTED = 20
_STAYS = (
    "the operator does not change objects of others. Create the pool under another name. It also "
    "continues by itself once the name is free, for example after Kubernetes has removed the "
    "objects of an earlier pool"
)


def controller_of(body: Body) -> Mapping[str, str]:
    """The ownerReference of an object's controller; empty if it has none."""
    references = body["metadata"].get("ownerReferences") or ()
    return next((each for each in references if each.get("controller")), {})


def owns(pool: ObservedPool, body: Body) -> bool:
    """Whether the pool owns an object."""
    return controller_of(body).get("uid") == pool.uid


def name_taken(kind: str, body: Body, *, blocks: bool = False) -> PoolProblem:
    """The problem that another's object has the name of one of the pool's."""
    return PoolProblem(NAME_TAKEN, f"{kind} {body['metadata']['name']} {_whose(body)}", blocks)


def _whose(body: Body) -> str:
    """The owner of a foreign object, as far as the object names one."""
    meta = body["metadata"]
    owner, notes = controller_of(body), meta.get("annotations") or {}
    manager = (meta.get("labels") or {}).get(names.LABEL_MANAGED, names.MANAGER)
    if owner:
        return f"belongs to {owner.get('kind')} {owner.get('name')}"
    if _HELM in notes:
        return f"belongs to the Helm release {notes[_HELM]}"
    if manager != names.MANAGER:
        return f"is managed by {manager}"
    if _KUBECTL in notes:
        return "was made with kubectl apply"
    return "has no owner"


def merge_name_conflicts(problems: Iterable[PoolProblem]) -> list[PoolProblem]:
    """Merge all taken names into one problem, the first, so that one Event lists them all."""
    found = list(problems)
    taken = [each for each in found if each.reason == NAME_TAKEN]
    if not taken:
        return found
    messages = [each.message for each in taken]
    more = f"; and {len(messages) - _MAX_LISTED} more" if len(messages) > _MAX_LISTED else ""
    message = f"{'; '.join(messages[:_MAX_LISTED])}{more}: {_STAYS}"
    one = PoolProblem(NAME_TAKEN, message, any(each.blocks for each in taken))
    others = [each for each in found if each.reason != NAME_TAKEN]
    return [one, *others]


def foreign_pod_problems(pool: ObservedPool, pods: Iterable[ObservedPod]) -> list[PoolProblem]:
    """The problem of pods that have the labels of the pool's workers and are not its own."""
    found = sorted(pod.name for pod in pods if pod.ends_at is None and not pod.finished)
    if not found:
        return []
    listed = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    return [
        PoolProblem(
            "ForeignPod",
            f"{listed}: not this pool's, but with its labels. The operator does not change it, but "
            f"the pool's Service may send it pages. Remove its label {names.LABEL_POOL}, or change "
            "the template that it is created from",
        )
    ]


def owned_proxy_pods(pool: ObservedPool, pods: Iterable[ObservedPod]) -> tuple[ObservedPod, ...]:
    """The pods that the proxy's Deployment created through a ReplicaSet."""
    kind, deployment = "ReplicaSet", names.proxy_name(pool.name)
    return tuple(pod for pod in pods if pod.created_by.rpartition("-")[0] == f"{kind} {deployment}")


def owned_worker_pods(pool: ObservedPool, pods: Iterable[ObservedPod]) -> tuple[ObservedPod, ...]:
    """The pods that the pool owns."""
    return tuple(pod for pod in pods if pod.owner_uid == pool.uid)
