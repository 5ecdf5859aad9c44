"""The planner's limits for one worker, from a pool's spec."""

from __future__ import annotations

from ocrpool.planner.instances.types import InstanceLimits
from ocrpool.protocol.quantity import parse_bytes
from ocrpool.resource.spec import PoolSpec


def limits_of(spec: PoolSpec, name: str = "") -> InstanceLimits:
    """Return the limits. `name` is the worker's: with it, cool-downs differ between workers."""
    memory = spec.memory
    per_instance = None if memory.per_instance == "auto" else parse_bytes(memory.per_instance)
    return InstanceLimits(
        minimum=spec.instances.min,
        maximum=spec.instances.max,
        reserve=parse_bytes(memory.reserve),
        per_instance=per_instance,
        name=name,
    )
