"""Which worker pods there should be: from what was snapshot to what is to be done, and why.

Every pool has as many placement as are wanted, and a place's pod has one name. So a pod can never be
there twice, whatever this was told: the API server refuses the second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ocrpool.planner.observed import FailureCount, ObservedPod, ObservedWorker, PoolSnapshot
from ocrpool.planner.size_limit import shorten
from ocrpool.planner.workers.placement import Placement, choose_placement
from ocrpool.protocol import backoff_seconds
from ocrpool.resource.names import worker_index

# After a pod was taken out of the Service, the rest of the cluster needs a moment to hear of it.
# The worker gives it (lameDuckSeconds); what it does not give is waited for before it is told.
ENDPOINTS_SECONDS = 2.0
# A proxy learns of a new worker through the cluster's DNS, where an answer may be cached for 30 s.
# What it has not heard by then is another trouble, and no reason to wait.
PROXY_DISCOVERY_SECONDS = 60.0
# A pod that should be gone for this long sits on a node that does not answer.
NODE_LOST_SECONDS = 60.0
# After a failure: 10 s, 20 s, … up to 10 minutes until the place gets its next pod.
BACKOFF_FIRST_SECONDS = 10.0
BACKOFF_MAX_SECONDS = 600.0
# A device that cannot be snapshot may come back for so long before its pod is replaced.
DEVICE_RECOVERY_SECONDS = 120.0
# A pod that served for this long has shown that the place is sound.
HEALTHY_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Make the pod of a place."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class RemoveFromService:
    """Take a pod out of the Service and note since when; nothing new reaches it."""

    pod: ObservedPod
    why: str


@dataclass(frozen=True, slots=True)
class RestoreToService:
    """Take a draining pod back into service: it is wanted again, and was not told to refuse."""

    pod: ObservedPod
    why: str


@dataclass(frozen=True, slots=True)
class MarkEvictable:
    """Tell cluster autoscalers whether its node may go."""

    pod: ObservedPod
    evictable: bool


@dataclass(frozen=True, slots=True)
class DrainWorker:
    """Tell its worker to refuse what still comes."""

    pod: ObservedPod


@dataclass(frozen=True, slots=True)
class DeletePod:
    """Delete a pod. `failed`: it counts against its place. `force`: nobody will confirm it."""

    pod: ObservedPod
    why: str
    failed: bool = False
    force: bool = False


WorkerAction = (
    CreatePod | RemoveFromService | RestoreToService | MarkEvictable | DrainWorker | DeletePod
)


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What is to be done now, and when to look again if nothing happens before."""

    actions: tuple[WorkerAction, ...] = ()
    wake_at: float | None = None
    # Places that wait for their back-off: name → sentence.
    waiting: tuple[tuple[str, str], ...] = ()


def plan_workers(snapshot: PoolSnapshot) -> WorkerPlan:
    """Decide for every place of the pool. Pure; the same facts give the same plan."""
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
            actions.append(CreatePod(name, "the place is empty"))
    actions += _replace_outdated(snapshot, placement, actions)
    actions += _mark_evictable(snapshot, actions)
    return WorkerPlan(tuple(actions), min(wake_times, default=None), tuple(waiting))


def backoff_until(failure: FailureCount | None) -> float:
    """The moment from which a place may get its next pod; 0 where it never failed."""
    if failure is None or failure.times == 0:
        return 0.0
    return failure.at + backoff_seconds(
        failure.times, first=BACKOFF_FIRST_SECONDS, most=BACKOFF_MAX_SECONDS
    )


def drain_limit(snapshot: PoolSnapshot) -> float:
    """Seconds after which a draining worker is ended whatever it holds."""
    spec = snapshot.pool.spec
    away = max(ENDPOINTS_SECONDS, spec.template.lame_duck_seconds)
    return away + spec.admission.page_limit + 5


def _why_removed(
    snapshot: PoolSnapshot, worker: ObservedWorker, placement: Placement
) -> str | None:
    """Why a pod shall go altogether, or None."""
    if snapshot.pool.deleting:
        return "the pool is being deleted"
    if worker.pod.uid in placement.surplus:
        return f"{snapshot.pool.desired_replicas} workers are wanted"
    return None


def _steps_for_pod(
    snapshot: PoolSnapshot, worker: ObservedWorker, why: str | None
) -> Iterator[WorkerAction | float]:
    """Steps of one pod, and moments at which to look again."""
    pod = worker.pod
    if pod.ends_at is not None:
        if snapshot.now < pod.ends_at + NODE_LOST_SECONDS:
            yield pod.ends_at + NODE_LOST_SECONDS
        else:
            yield DeletePod(
                pod, f"node {pod.node or '(none)'} does not confirm its end", force=True
            )
        return
    if pod.finished:
        yield DeletePod(pod, "it has ended", failed=why is None)
        return
    if why is None and _may_restore(snapshot, worker):
        yield RestoreToService(pod, f"{snapshot.pool.desired_replicas} workers are wanted again")
        return
    if why is not None or pod.draining_since is not None:
        yield from _drain_steps(snapshot, worker, why or "it was being drained")
        return
    since = _device_failed_since(worker)
    if since is not None:
        until = max(since, backoff_until(snapshot.failures.get(pod.name)))
        if snapshot.now >= until:
            yield DeletePod(pod, f"its device keeps failing: {_problem_text(worker)}", failed=True)
        else:
            yield until
        return
    if pod.revision != snapshot.revision and not pod.ready:
        yield DeletePod(pod, "the spec changed, and it serves nothing")


def _device_failed_since(worker: ObservedWorker) -> float | None:
    """From when on a pod may be replaced because its device fails and it serves nothing: inside a
    container that the driver has turned its back on, waiting does not help."""
    problem = worker.state.problem if worker.state is not None else None
    if problem is None or worker.pod.ready:
        return None
    if problem.reason == "DeviceError":
        return 0.0
    if problem.reason in ("DeviceLost", "DeviceUnreadable"):
        # A reset may bring it back, and then its instances come faster than another pod.
        return max(worker.pod.created_at, worker.pod.ready_changed_at) + DEVICE_RECOVERY_SECONDS
    return None


def _problem_text(worker: ObservedWorker) -> str:
    problem = worker.state.problem if worker.state is not None else None
    return f"{problem.reason}: {shorten(problem.message, 200)}" if problem is not None else ""


def _may_restore(snapshot: PoolSnapshot, worker: ObservedWorker) -> bool:
    """It drains, as it is it would be made again, and its worker still takes requests."""
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
        # What is not ready holds nothing that its own end would not finish.
        yield RemoveFromService(pod, why) if pod.ready else DeletePod(pod, why)
        return
    lame_duck = snapshot.pool.spec.template.lame_duck_seconds
    told = pod.draining_since + max(0.0, ENDPOINTS_SECONDS - lame_duck)
    settled, limit = told + lame_duck, pod.draining_since + drain_limit(snapshot)
    if snapshot.now < told:
        yield told
    elif snapshot.now >= limit:
        yield DeletePod(pod, f"drained for {drain_limit(snapshot):g} s, the most that is given")
    elif state is not None and not state.draining:
        yield DrainWorker(pod)
    elif snapshot.now < settled:
        yield settled
    elif worker.idle:
        yield DeletePod(pod, "drained")
    else:
        yield min(limit, snapshot.now + 1.0)


def known_to_proxy(snapshot: PoolSnapshot, pod: ObservedPod) -> bool:
    """Whether the proxy sends requests to a worker that is ready, or should long have done so."""
    if snapshot.proxy is None or snapshot.now - pod.ready_changed_at > PROXY_DISCOVERY_SECONDS:
        return True
    return not snapshot.proxy.not_sending_to(pod)


def may_evict(snapshot: PoolSnapshot) -> bool:
    """Whether an eviction may take one more worker: all that are wanted are ready, and with a proxy
    each is known to it. Kubernetes' own count opens the budget as soon as a successor is ready,
    which is before the proxy has heard of it: the last of the old ones would go too early."""
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
    """One pod of an old revision, if every other place serves."""
    busy = any(isinstance(action, CreatePod | RemoveFromService | DeletePod) for action in before)
    kept = [
        each
        for each in snapshot.workers_by_index().values()
        if each.pod.uid not in placement.surplus
    ]
    if busy or len(kept) < snapshot.pool.desired_replicas or not all(each.serving for each in kept):
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
    """Annotations of pods that stay; those that leave get theirs with their first step."""
    if not snapshot.pool.spec.annotates_evictable:
        return
    acted = {action.pod.uid for action in before if not isinstance(action, CreatePod)}
    for worker in snapshot.workers:
        pod = worker.pod
        if worker.leaving or pod.finished or pod.uid in acted:
            continue
        rests = pod.uid in snapshot.evictable
        if pod.evictable != rests:
            yield MarkEvictable(pod, rests)
