"""Whose an object is. A pool's are those whose controller it is, by its uid, and no others: neither
a name nor a label makes an object ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ocrpool.planner.observed import ObservedPod, ObservedPool, PoolProblem
from ocrpool.resource import names

Body = Mapping[str, Any]
NAME_TAKEN = "NameTaken"
_HELM = "meta.helm.sh/release-name"
_KUBECTL = "kubectl.kubernetes.io/last-applied-configuration"
# Names that are taken and told one by one.
_MOST_TOLD = 20
_STAYS = (
    "what is not this pool's stays as it is. Make the pool under another name; it also goes on by "
    "itself once the name is free, as when Kubernetes has removed what an earlier pool left"
)


def controller_of(body: Body) -> Mapping[str, str]:
    """The ownerReference of an object's controller, empty where it has none."""
    references = body["metadata"].get("ownerReferences") or ()
    return next((each for each in references if each.get("controller")), {})


def owns(pool: ObservedPool, body: Body) -> bool:
    """Whether an object is this pool's."""
    return controller_of(body).get("uid") == pool.uid


def name_taken(kind: str, body: Body, *, blocks: bool = False) -> PoolProblem:
    """An object is in the way of one of ours."""
    return PoolProblem(NAME_TAKEN, f"{kind} {body['metadata']['name']} {_whose(body)}", blocks)


def _whose(body: Body) -> str:
    """Whose an object is that is not ours, as far as it says so."""
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


def merge_name_conflicts(troubles: Iterable[PoolProblem]) -> list[PoolProblem]:
    """All names that are taken as one trouble, the first: one Event, and one sentence that has all
    of them."""
    found = list(troubles)
    taken = [each for each in found if each.reason == NAME_TAKEN]
    if not taken:
        return found
    said = [each.message for each in taken]
    more = f"; and {len(said) - _MOST_TOLD} more" if len(said) > _MOST_TOLD else ""
    message = f"{'; '.join(said[:_MOST_TOLD])}{more}: {_STAYS}"
    one = PoolProblem(NAME_TAKEN, message, any(each.blocks for each in taken))
    others = [each for each in found if each.reason != NAME_TAKEN]
    return [one, *others]


def foreign_pod_problems(pool: ObservedPool, pods: Iterable[ObservedPod]) -> list[PoolProblem]:
    """Pods that look like this pool's workers and are not."""
    found = sorted(pod.name for pod in pods if pod.ends_at is None and not pod.finished)
    if not found:
        return []
    told = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    return [
        PoolProblem(
            "ForeignPod",
            f"{told}: not this pool's, but with its labels. The operator leaves it alone; yet the "
            f"pool's Service may send it pages. Take its label {names.LABEL_POOL} off, or change "
            "the template that it is made from",
        )
    ]


def owned_proxy_pods(pool: ObservedPool, pods: Iterable[ObservedPod]) -> tuple[ObservedPod, ...]:
    """Of pods with the label of a proxy those that its Deployment made, by a ReplicaSet."""
    kind, deployment = "ReplicaSet", names.proxy_name(pool.name)
    return tuple(pod for pod in pods if pod.created_by.rpartition("-")[0] == f"{kind} {deployment}")


def owned_worker_pods(pool: ObservedPool, pods: Iterable[ObservedPod]) -> tuple[ObservedPod, ...]:
    """Of pods with the labels of workers those that this pool owns."""
    return tuple(pod for pod in pods if pod.owner_uid == pool.uid)
