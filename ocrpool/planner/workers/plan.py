"""Plan what happens to each worker pod of a pool: create, drain, delete, replace.

A pool has one pod name per desired worker (`pages-0`, `pages-1`, …). So a pod is never created
twice, however stale the snapshot is: the API server refuses the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ocrpool.planner.observed import FailureCount, ObservedPod, ObservedWorker, PoolSnapshot
from ocrpool.planner.size_limit import shorten
from ocrpool.planner.workers.placement import Placement, choose_placement
from ocrpool.protocol import backoff_seconds
from ocrpool.resource.names import worker_index

# Time for the cluster to update its endpoints after a pod was removed from the Service. If
# lameDuckSeconds is shorter, the operator waits for the rest before it tells the worker to drain.
ENDPOINTS_SECONDS = 2.0
# Time for a proxy to discover a new worker through DNS, where answers may be cached for 30 s. After
# that, a proxy that does not know the worker is reported as a problem and not waited for.
PROXY_DISCOVERY_SECONDS = 60.0
# Time after the grace period until a pod is deleted by force: its node does not answer.
NODE_LOST_SECONDS = 60.0
# Back-off after a failure: 10 s, 20 s, … up to 10 minutes until the pod is created again.
BACKOFF_FIRST = 10.0
BACKOFF_MAX = 600.0
# Time for a lost device to come back before its pod is replaced.
DEVICE_RECOVERY_SECONDS = 120.0
# A pod that was ready for this long resets its failure count.
HEALTHY_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Create the pod with this name."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class RemoveFromService:
    """Remove a pod from the Service and record since when. It gets no new requests."""

    pod: ObservedPod
    why: str


@dataclass(frozen=True, slots=True)
class RestoreToService:
    """Put a draining pod back into the Service: it is desired again and its worker still accepts
    requests."""

    pod: ObservedPod
    why: str


@dataclass(frozen=True, slots=True)
class MarkEvictable:
    """Annotate a pod for cluster autoscalers: evictable or not."""

    pod: ObservedPod
    evictable: bool


@dataclass(frozen=True, slots=True)
class DrainWorker:
    """Tell the pod's worker to refuse new requests."""

    pod: ObservedPod


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod. `failed`: count it as a failure. `force`: do not wait for its node."""

    pod: ObservedPod
    why: str
    failed: bool = False
    force: bool = False


WorkerAction = (
    CreatePod | RemoveFromService | RestoreToService | MarkEvictable | DrainWorker | DeletePod
)


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What to do now, and when to plan again if nothing happens before."""

    actions: tuple[WorkerAction, ...] = ()
    wake_at: float | None = None
    # Pods that wait for their back-off, as (name, sentence).
    waiting: tuple[tuple[str, str], ...] = ()


def plan_workers(snapshot: PoolSnapshot) -> WorkerPlan:
    """Plan for the whole pool. Pure: the same snapshot gives the same plan."""
    placement = choose_placement(snapshot)
    actions: list[WorkerAction] = []
    wake_times: list[float] = []
    waiting: list[tuple[str, str]] = []
    for worker in snapshot.workers:
        why = _why_removed(snapshot, worker, placement)
        for step in _steps_for_pod(snapshot, worker, why):
            if isinstance(step, float):
                wake_times.append(step)
            else:
                actions.append(step)
    for name in placement.empty:
        until = backoff_until(snapshot.failures.get(name))
        if until > snapshot.now:
            wake_times.append(until)
            times = snapshot.failures[name].times
            waiting.append((name, f"failed {times} times in a row; waits before the next pod"))
        else:
            actions.append(CreatePod(name, "the pod does not exist"))
    actions += _replace_outdated(snapshot, placement, actions)
    actions += _mark_evictable(snapshot, actions)
    return WorkerPlan(tuple(actions), min(wake_times, default=None), tuple(waiting))


def backoff_until(failure: FailureCount | None) -> float:
    """Return from when on a pod may be created again; 0 if it never failed."""
    if failure is None or failure.times == 0:
        return 0.0
    return failure.at + backoff_seconds(failure.times, first=BACKOFF_FIRST, most=BACKOFF_MAX)


def drain_limit(snapshot: PoolSnapshot) -> float:
    """Return the seconds after which a draining pod is deleted even if it holds requests."""
    spec = snapshot.pool.spec
    removal = max(ENDPOINTS_SECONDS, spec.template.lame_duck_seconds)
    return removal + spec.admission.page_limit + 5


def _why_removed(
    snapshot: PoolSnapshot, worker: ObservedWorker, placement: Placement
) -> str | None:
    """Return why a pod is not desired any more, or None."""
    if snapshot.pool.deleting:
        return "the pool is being deleted"
    if worker.pod.uid in placement.surplus:
        return f"{snapshot.pool.desired_replicas} workers are desired"
    return None


def _steps_for_pod(
    snapshot: PoolSnapshot, worker: ObservedWorker, why: str | None
) -> Iterator[WorkerAction | float]:
    """Yield actions for one pod, and times at which to plan again."""
    pod = worker.pod
    if pod.ends_at is not None:
        if snapshot.now < pod.ends_at + NODE_LOST_SECONDS:
            yield pod.ends_at + NODE_LOST_SECONDS
        else:
            yield DeletePod(
                pod, f"node {pod.node or '(none)'} does not confirm the deletion", force=True
            )
        return
    if pod.finished:
        yield DeletePod(pod, "its containers have terminated", failed=why is None)
        return
    if why is None and _may_restore(snapshot, worker):
        yield RestoreToService(pod, f"{snapshot.pool.desired_replicas} workers are desired again")
        return
    if why is not None or pod.draining_since is not None:
        yield from _drain_steps(snapshot, worker, why or "it was already draining")
        return
    since = _device_failed_since(worker)
    if since is not None:
        until = max(since, backoff_until(snapshot.failures.get(pod.name)))
        if snapshot.now >= until:
            yield DeletePod(
                pod, f"its device does not recover: {_problem_text(worker)}", failed=True
            )
        else:
            yield until
        return
    if pod.revision != snapshot.revision and not pod.ready:
        yield DeletePod(pod, "the spec changed and the pod is not ready")


def _device_failed_since(worker: ObservedWorker) -> float | None:
    """Return from when on a pod that is not ready may be replaced because its device failed, or
    None. A container that has lost its device often cannot get it back."""
    problem = worker.state.problem if worker.state is not None else None
    if problem is None or worker.pod.ready:
        return None
    if problem.reason == "DeviceError":
        return 0.0
    if problem.reason in ("DeviceLost", "DeviceUnreadable"):
        # A reset may bring the device back, and its instances then start faster than a new pod.
        return max(worker.pod.created_at, worker.pod.ready_changed_at) + DEVICE_RECOVERY_SECONDS
    return None


def _problem_text(worker: ObservedWorker) -> str:
    problem = worker.state.problem if worker.state is not None else None
    return f"{problem.reason}: {shorten(problem.message, 200)}" if problem is not None else ""


def _may_restore(snapshot: PoolSnapshot, worker: ObservedWorker) -> bool:
    """Whether a draining pod has the current revision and its worker still accepts requests."""
    pod, state = worker.pod, worker.state
    return (
        pod.draining_since is not None
        and pod.revision == snapshot.revision
        and state is not None
        and not state.draining
    )


def _drain_steps(
    snapshot: PoolSnapshot, worker: ObservedWorker, why: str
) -> Iterator[WorkerAction | float]:
    pod, state = worker.pod, worker.state
    if pod.draining_since is None:
        # A pod that is not ready is deleted directly: it finishes what it holds after SIGTERM.
        yield RemoveFromService(pod, why) if pod.ready else DeletePod(pod, why)
        return
    lame_duck = snapshot.pool.spec.template.lame_duck_seconds
    drain_at = pod.draining_since + max(0.0, ENDPOINTS_SECONDS - lame_duck)
    settled, limit = drain_at + lame_duck, pod.draining_since + drain_limit(snapshot)
    if snapshot.now < drain_at:
        yield drain_at
    elif snapshot.now >= limit:
        yield DeletePod(pod, f"drained for {drain_limit(snapshot):g} s, the time limit")
    elif state is not None and not state.draining:
        yield DrainWorker(pod)
    elif snapshot.now < settled:
        yield settled
    elif worker.idle:
        yield DeletePod(pod, "drained")
    else:
        yield min(limit, snapshot.now + 1.0)


def known_to_proxy(snapshot: PoolSnapshot, pod: ObservedPod) -> bool:
    """Whether the proxy sends requests to a ready worker, or has had enough time to discover it."""
    if snapshot.proxy is None or snapshot.now - pod.ready_changed_at > PROXY_DISCOVERY_SECONDS:
        return True
    return not snapshot.proxy.not_sending_to(pod)


def may_evict(snapshot: PoolSnapshot) -> bool:
    """Whether one more worker may be evicted: all desired workers are ready, and the proxy knows
    each of them. A PodDisruptionBudget alone allows the next eviction as soon as a replacement is
    ready, which is before the proxy has discovered it."""
    if snapshot.proxy is None:
        return True
    surplus = choose_placement(snapshot).surplus
    kept = [each for each in snapshot.workers_by_index().values() if each.pod.uid not in surplus]
    return len(kept) >= snapshot.pool.desired_replicas and all(
        each.pod.ready and not each.leaving and known_to_proxy(snapshot, each.pod) for each in kept
    )


def _replace_outdated(
    snapshot: PoolSnapshot, placement: Placement, before: list[WorkerAction]
) -> Iterator[WorkerAction]:
    """Replace one pod of an old revision if all pods are serving."""
    acting = any(isinstance(action, CreatePod | RemoveFromService | DeletePod) for action in before)
    kept = [
        each
        for each in snapshot.workers_by_index().values()
        if each.pod.uid not in placement.surplus
    ]
    if (
        acting
        or len(kept) < snapshot.pool.desired_replicas
        or not all(each.serving for each in kept)
    ):
        return
    if any(not known_to_proxy(snapshot, each.pod) for each in kept):
        return
    for worker in sorted(
        kept, key=lambda each: worker_index(snapshot.pool.name, each.pod.name) or 0
    ):
        if worker.pod.revision != snapshot.revision:
            yield RemoveFromService(worker.pod, "the spec changed")
            return


def _mark_evictable(snapshot: PoolSnapshot, before: list[WorkerAction]) -> Iterator[WorkerAction]:
    """Annotate the pods that stay. Pods that leave are annotated by the action that starts it."""
    if not snapshot.pool.spec.annotates_evictable:
        return
    acted = {action.pod.uid for action in before if not isinstance(action, CreatePod)}
    for worker in snapshot.workers:
        pod = worker.pod
        if worker.leaving or pod.finished or pod.uid in acted:
            continue
        evictable = pod.uid in snapshot.evictable
        if pod.evictable != evictable:
            yield MarkEvictable(pod, evictable)
