"""From the API server's objects to the planner's types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ocrpool.planner.observed import ObservedPod, ObservedPool, PoolProblem
from ocrpool.planner.size_limit import shorten
from ocrpool.planner.timestamps import parse_timestamp
from ocrpool.resource import names
from ocrpool.resource.spec import PoolSpec
from ocrpool.resource.status import PoolStatus
from ocrpool_operator.cluster.owners import controller_of

Body = Mapping[str, Any]
_EVICTABLE = {"true": True, "false": False}
# The kubelet's times are whole seconds, and it may write an earlier observation later. No worker
# and no proxy is ready this soon after its start.
_MIN_STARTUP_SECONDS = 2.0
_BACKING_OFF = re.compile(r'^Back-off pulling image ".*?": ErrImagePull: ', re.DOTALL)


def pool_from(body: Body) -> ObservedPool:
    """Parse an OcrPool. If its spec is invalid, `invalid_reason` says why and the spec is the
    default one, which only the deletion of the pool may use.

    The CRD's schema refuses an invalid spec. Only objects older than the schema can have one.
    """
    meta = body["metadata"]
    invalid = ""
    try:
        spec = PoolSpec.model_validate(body.get("spec") or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in ("spec", *first["loc"]))
        spec, invalid = PoolSpec(), f"{where}: {first['msg']}"
    # Needed for an invalid spec, too: only the pool's own operator reports it.
    operator = (body.get("spec") or {}).get("operatorName", names.OPERATOR)
    try:
        status = PoolStatus.model_validate(body.get("status") or {})
    except ValidationError:
        # Another version wrote it. The old status is lost; the next round observes all again.
        status = PoolStatus()
    return ObservedPool(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta.get("generation", 0),
        spec=spec,
        invalid_reason=invalid,
        status=status,
        deleting="deletionTimestamp" in meta,
        has_finalizer=names.FINALIZER in meta.get("finalizers", ()),
        version=int(meta.get("resourceVersion") or 0),
        operator=str(operator),
    )


def pod_from(body: Body, *, template: str = "template") -> ObservedPod:
    """Parse the pod of a worker or of a proxy. `template`: the field of the spec that the pod is
    created from, for messages about it."""
    meta, status = body["metadata"], body.get("status") or {}
    notes = meta.get("annotations") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    phase = status.get("phase", "")
    ready = conditions.get("Ready", {}).get("status") == "True"
    turned = parse_timestamp(conditions.get("Ready", {}).get("lastTransitionTime")) or 0.0
    controller = controller_of(body)
    return ObservedPod(
        name=meta["name"],
        uid=meta["uid"],
        revision=notes.get(names.REVISION, ""),
        node=(body.get("spec") or {}).get("nodeName", ""),
        ip=status.get("podIP", ""),
        created_at=parse_timestamp(meta.get("creationTimestamp")) or 0.0,
        ready=ready,
        ready_changed_at=turned,
        finished=phase in ("Failed", "Succeeded"),
        ends_at=parse_timestamp(meta.get("deletionTimestamp")),
        draining_since=parse_timestamp(notes.get(names.DRAINING_SINCE)),
        evictable=_EVICTABLE.get(notes.get(names.SAFE_TO_EVICT, "")),
        problem=None if ready else _pod_problem(phase, status, conditions, template, turned),
        owner_uid=controller.get("uid", ""),
        created_by=f"{controller.get('kind', '')} {controller.get('name', '')}".strip(),
        version=int(meta.get("resourceVersion") or 0),
    )


def _pod_problem(
    phase: str, status: Body, conditions: Mapping[str, Body], template: str, turned: float
) -> PoolProblem | None:
    """Why Kubernetes cannot run a pod, and what to do about it."""
    if phase == "Failed":
        text = shorten(status.get("message") or status.get("reason") or "its container ended")
        return PoolProblem("PodFailed", f"the pod ended: {text}; it is replaced")
    for container in status.get("containerStatuses") or ():
        found = _container_problem(container, template, turned)
        if found is not None:
            return found
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        reason = shorten(scheduled.get("message") or scheduled.get("reason", ""))
        return PoolProblem(
            "WaitingForCapacity",
            f"no node takes it: {reason}; add a node, or look at resourceName, nodeSelector and "
            "tolerations",
        )
    if status.get("reason") == "NodeLost" or _marked_by_others(conditions):
        return PoolProblem(
            "NodeLost",
            "its node does not answer; look at the node. It is replaced once Kubernetes evicts it, "
            "after the pod's tolerationSeconds (5 minutes)",
        )
    return None


def _marked_by_others(conditions: Mapping[str, Body]) -> bool:
    """Whether Kubernetes marked the pod as not ready because its node is silent. It sets only this
    one condition; the containers were ready in the kubelet's last report."""
    found = [conditions.get(name, {}).get("status") for name in ("Ready", "ContainersReady")]
    return found == ["False", "True"]


def _recovered(container: Body, turned: float) -> bool:
    """Whether the pod's readiness changed (`turned`) since its container restarted. The kubelet
    keeps the last exit of a container as long as the pod exists."""
    running = (container.get("state") or {}).get("running") or {}
    started = parse_timestamp(running.get("startedAt"))
    return started is not None and turned > started + _MIN_STARTUP_SECONDS


def _container_problem(container: Body, template: str, turned: float) -> PoolProblem | None:
    waiting = (container.get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    # The kubelet alternates between an error and the same error with its back-off in front.
    message = shorten(_BACKING_OFF.sub("", waiting.get("message", "")))
    if reason in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"):
        return PoolProblem(
            "ImageNotAvailable",
            f"image {container.get('image', '')!r}: {message or reason}; look at {template}.image, "
            "imagePullPolicy and imagePullSecrets",
        )
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return PoolProblem("ContainerRefused", f"{message or reason}; look at {template}")
    last = (container.get("lastState") or {}).get("terminated") or {}
    if last.get("reason") == "OOMKilled" and not _recovered(container, turned):
        what = container.get("name", "container")
        return PoolProblem(
            "InsufficientMemory",
            f"the {what} used more memory than its container may, was ended with all its "
            f"instances, and starts again; raise {template}.resources.limits.memory, or lower "
            "instances.max or admission.maxMegapixels",
        )
    if reason == "CrashLoopBackOff":
        said = " ".join(str(last.get("message", "")).split())[-300:]
        ended = f"exit code {last.get('exitCode', '?')}"
        what = container.get("name", "container")
        return PoolProblem(
            f"{what.capitalize()}Crashes",
            f"the {what} ends at once ({ended}): {said or 'it says nothing'}; look at its log",
        )
    return None
