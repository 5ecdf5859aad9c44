"""States of workers that do not exist: for `ocrpool plan`, simulations and tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ocrpool.protocol import (
    Counters,
    Device,
    Footprint,
    Instance,
    Instances,
    InstanceState,
    Memory,
    Queue,
    State,
)


def simulated_device(total: int, free: int | None) -> Device:
    """Return a GPU; without readable memory if `free` is None."""
    memory = None if free is None else Memory(total=total, used=total - free, free=free)
    return Device(kind="gpu", name="simulated", uuid="GPU-0", memory=memory)


def simulated_instance(held: int, state: InstanceState = "idle", number: int = 1) -> Instance:
    """Return an instance that holds this many bytes."""
    return Instance(
        id=f"i{number}",
        pid=number,
        state=state,
        age_seconds=0,
        busy_seconds=0,
        requests=0,
        memory=held,
        peak=held,
    )


def simulated_state(
    device: Device,
    each: Sequence[Instance],
    *,
    footprint: int,
    target: int | None = None,
    ceiling: int = 8,
    queued: int = 0,
    **more: Any,
) -> State:
    """Return the state of a worker with these instances. By default, the target is the number of
    instances that are not retiring, and the worker is ready if one of them is. `more` overrides
    fields of the state, such as `counters` or `problem`."""
    kinds = [one.state for one in each]
    ready = sum(kind in ("idle", "busy") for kind in kinds)
    fields: dict[str, Any] = {
        "instances": Instances(
            target=sum(kind != "retiring" for kind in kinds) if target is None else target,
            ready=ready,
            booting=kinds.count("booting"),
            ceiling=ceiling,
            each=tuple(each),
        ),
        "footprint": Footprint(bytes=footprint, source="engine"),
        "queue": Queue(depth=queued, capacity=64, oldest_seconds=0),
        "counters": Counters(),
        "ready": ready > 0,
        "draining": False,
    }
    return State(device=device, **{**fields, **more})
