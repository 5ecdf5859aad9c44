"""`ocrpool plan`: the planner's decisions for this machine, step by step, without acting."""

from __future__ import annotations

from collections.abc import Iterator

from ocrpool.planner.instances.plan import OBSERVATIONS_BEFORE_GROWTH, plan_instances
from ocrpool.planner.instances.types import InstanceDecision, InstanceHistory, InstanceLimits
from ocrpool.planner.simulated_state import simulated_instance, simulated_state
from ocrpool.protocol import Counters, Device, Memory, State


def next_decision(limits: InstanceLimits, state: State) -> InstanceDecision:
    """The decision for a worker whose state does not change."""
    history = InstanceHistory()
    for look in range(OBSERVATIONS_BEFORE_GROWTH):
        decision = plan_instances(limits, history, state, float(look))
        history = decision.history
    return decision


def steps(limits: InstanceLimits, device: Device, footprint: int) -> Iterator[InstanceDecision]:
    """Each decision from one instance on, when every instance takes `footprint` bytes and nothing
    else on the device changes. The last one is the stable decision."""
    count = min(1, limits.maximum)
    while True:
        decision = next_decision(limits, _simulated_state(limits, device, footprint, count))
        yield decision
        if decision.target <= count:
            return
        count = decision.target


def _simulated_state(limits: InstanceLimits, device: Device, footprint: int, count: int) -> State:
    memory = device.memory
    if memory is not None:
        free = max(0, memory.free - count * footprint)
        memory = Memory(total=memory.total, used=memory.total - free, free=free)
    return simulated_state(
        device.model_copy(update={"memory": memory}),
        [simulated_instance(footprint, number=number) for number in range(count)],
        footprint=footprint,
        ceiling=limits.maximum,
        counters=Counters(boots=count),
        ready=True,
    )
