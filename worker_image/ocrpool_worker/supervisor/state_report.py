"""What the worker says of itself: the state for the operator, and what is wrong with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from ocrpool.protocol import Counters, Device, Instance, Instances, Problem, Queue, State
from ocrpool_worker.devices.watch import DeviceWatch
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor import failure_rules
from ocrpool_worker.supervisor.fair_queue import FairQueue
from ocrpool_worker.supervisor.instance_manager import InstanceManager
from ocrpool_worker.supervisor.startup_backoff import Clock


class DeviceHealth:
    """Several device errors within a minute: it is the device, not the pages."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._errors: deque[float] = deque(maxlen=failure_rules.DEVICE_ERRORS)

    def note_error(self) -> None:
        self._errors.append(self._clock())

    @property
    def failing(self) -> bool:
        full = len(self._errors) == failure_rules.DEVICE_ERRORS
        return full and self._clock() - self._errors[0] < failure_rules.DEVICE_WINDOW


def problem_of(
    manager: InstanceManager, health: DeviceHealth, device: Problem | None, *, draining: bool
) -> Problem | None:
    """Why the worker is not ready, or cannot have what it was asked for. `device`: what is wrong
    with the device itself."""
    if device is not None and device.reason == "DeviceLost":
        return device
    if health.failing:
        message = (
            f"{failure_rules.DEVICE_ERRORS} device errors within "
            f"{failure_rules.DEVICE_WINDOW:g} s; look at the device "
            "(dmesg, nvidia-smi), or move the worker to another one"
        )
        return Problem(reason="DeviceError", message=message)
    if manager.startup_backoff.problem is not None:
        return manager.startup_backoff.problem
    if draining:
        return Problem(reason="Draining", message="the worker takes no new requests")
    if not manager.ready and manager.target:
        return _not_ready(manager)
    return device or manager.slow


def _not_ready(manager: InstanceManager) -> Problem:
    if manager.instances.warm:
        message = (
            "every instance is stopped (SIGSTOP, or a debugger); continue them with SIGCONT: who "
            "stays so for admission.timeoutSeconds is replaced"
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
    """All that there is to know of a worker, in the words of the wire. Times are rounded to
    milliseconds."""
    oldest = queue.oldest()
    look = watch.latest()
    identity, memory = watch.identity, look.memory
    held = {instance.ident: instance.held_at(look) for instance in manager.instances.values()}
    each = tuple(
        Instance(
            id=instance.ident,
            pid=instance.process.pid,
            state=instance.state,
            age_seconds=round(now - instance.born, 3),
            busy_seconds=round(now - instance.since, 3) if instance.work else 0.0,
            requests=instance.answered,
            memory=held[instance.ident],
            peak=instance.peak,
            source=instance.memory_source,
            stopped=instance.stopped_since is not None,
        )
        for instance in manager.instances.values()
    )
    return State(
        device=Device(kind=identity.kind, name=identity.name, uuid=identity.uuid, memory=memory),
        instances=Instances(
            target=manager.target,
            ready=manager.ready,
            booting=manager.booting,
            ceiling=manager.ceiling.value,
            each=each,
        ),
        footprint=manager.footprint,
        unattributed=None if memory is None else max(0, memory.used - sum(held.values())),
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
