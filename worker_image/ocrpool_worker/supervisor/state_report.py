"""The worker's state for `GET /v1/state`, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping

from ocrpool.protocol import Counters, Device, Instance, Instances, Problem, Queue, State
from ocrpool_worker.devices.snapshot import DeviceSnapshot
from ocrpool_worker.devices.watch import DeviceWatch
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor.fair_queue import FairQueue
from ocrpool_worker.supervisor.instance_manager import InstanceManager
from ocrpool_worker.supervisor.lifecycle import REPORTED
from ocrpool_worker.supervisor.managed_instance import ManagedInstance


def problem_of(
    manager: InstanceManager, health: Problem | None, device: Problem | None, *, draining: bool
) -> Problem | None:
    """Why the worker is not ready, or cannot have as many instances as it was asked for. `health`:
    the problem of failing pages; `device`: the problem of the device itself."""
    if device is not None and device.reason == "DeviceLost":
        return device
    if health is not None:
        return health
    if manager.startup_backoff.problem is not None:
        return manager.startup_backoff.problem
    if draining:
        return Problem(reason="Draining", message="the worker takes no new requests")
    if not manager.ready and manager.target:
        return _not_ready(manager)
    return device or manager.slow_pages


def _not_ready(manager: InstanceManager) -> Problem:
    if manager.instances.warm:
        message = (
            "every instance is stopped (SIGSTOP, or a debugger); continue them with SIGCONT. An "
            "instance that stays stopped for admission.timeoutSeconds is replaced"
        )
        return Problem(reason="Stopped", message=message)
    if not manager.startup_backoff.was_ready:
        return Problem(reason="Starting", message="no instance is warm yet")
    message = "no instance is warm yet"
    if manager.last_exit is not None:
        message += f"; the last one: {manager.last_exit.why}"
    return Problem(reason="Restarting", message=message)


def state_of(
    settings: WorkerSettings,
    manager: InstanceManager,
    queue: FairQueue,
    counters: Mapping[str, float],
    watch: DeviceWatch,
    *,
    now: float,
    ready: bool,
    draining: bool,
    problem: Problem | None,
) -> State:
    """The state of a worker. Times are rounded to milliseconds."""
    oldest = queue.oldest()
    snapshot = watch.latest()
    identity, memory = watch.identity, snapshot.memory
    each = tuple(_report(instance, snapshot, now) for instance in manager.instances.values())
    held = sum(instance.memory for instance in each)
    return State(
        device=Device(kind=identity.kind, name=identity.name, uuid=identity.uuid, memory=memory),
        instances=Instances(
            target=manager.target,
            ready=manager.ready,
            booting=manager.starting,
            ceiling=manager.ceiling.value,
            each=each,
        ),
        footprint=manager.footprint,
        unattributed=None if memory is None else max(0, memory.used - held),
        queue=Queue(
            depth=len(queue),
            capacity=settings.admission.queue,
            oldest_seconds=0.0 if oldest is None else round(now - oldest, 3),
            pages=queue.pages,
        ),
        counters=Counters.model_validate(counters),
        ready=ready,
        draining=draining,
        problem=problem,
    )


def _report(instance: ManagedInstance, snapshot: DeviceSnapshot, now: float) -> Instance:
    return Instance(
        id=instance.ident,
        pid=instance.process.pid,
        state=REPORTED[instance.state],
        age_seconds=round(now - instance.created_at, 3),
        busy_seconds=round(now - instance.assigned_at, 3) if instance.item else 0.0,
        requests=instance.answered,
        memory=instance.memory_at(snapshot),
        peak=instance.peak,
        source=instance.memory_source,
        stopped=instance.stopped_since is not None,
    )


def new_counters() -> dict[str, float]:
    """All counters of the protocol, at zero."""
    return dict.fromkeys(Counters.model_fields, 0)
