"""States of a worker for tests of the planner, in as few words as possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ocrpool.planner.instances.plan import plan_instances
from ocrpool.planner.instances.types import InstanceDecision, InstanceHistory, InstanceLimits
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

MI, GI = 2**20, 2**30
LIMITS = InstanceLimits(minimum=1, maximum=8, reserve=GI)


def instance(held: int = GI, state: InstanceState = "idle") -> Instance:
    return Instance(
        id="i",
        pid=1,
        state=state,
        age_seconds=1,
        busy_seconds=0,
        requests=0,
        memory=held,
        peak=held,
    )


def state(
    free: int | None,
    *,
    total: int = 24 * GI,
    each: Sequence[Instance] = (instance(), instance(), instance()),
    footprint: int = GI,
    target: int | None = None,
    ceiling: int = 8,
    queued: int = 0,
    **more: Any,
) -> State:
    """Three idle instances of 1 Gi each on a device of 24 Gi, unless told otherwise."""
    memory = None if free is None else Memory(total=total, used=total - free, free=free)
    kinds = [one.state for one in each]
    ready = sum(kind in ("idle", "busy") for kind in kinds)
    here = sum(kind != "retiring" for kind in kinds)
    given: dict[str, Any] = {"ready": ready > 0, "draining": False}
    given |= {"counters": Counters(boots=10)} | more
    return State(
        device=Device(kind="gpu", name="test", uuid="GPU-0", memory=memory),
        instances=Instances(
            target=here if target is None else target,
            ready=ready,
            booting=kinds.count("booting"),
            ceiling=ceiling,
            each=tuple(each),
        ),
        footprint=Footprint(bytes=footprint, source="paddle"),
        queue=Queue(depth=queued, capacity=64, oldest_seconds=0),
        **given,
    )


def decide(
    *states: State,
    limits: InstanceLimits = LIMITS,
    history: InstanceHistory | None = None,
    every: float = 5.0,
) -> InstanceDecision:
    """The decision after the last of these observations, `every` seconds apart."""
    now, decision = 0.0, None
    history = history or InstanceHistory()
    for one in states:
        decision = plan_instances(limits, history, one, now)
        history = decision.history
        now += every
    assert decision is not None
    return decision
