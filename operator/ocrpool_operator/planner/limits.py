"""From a pool's spec to what the planner may do with one of its workers; both shells use it."""

from __future__ import annotations

from ocrpool_operator.api.spec import PoolSpec
from ocrpool_operator.planner.types import Limits
from ocrpool_wire.quantity import parse_bytes


def limits_of(spec: PoolSpec, name: str = "") -> Limits:
    """`name`: the worker's own, another for each; see Limits."""
    memory, instances = spec.memory, spec.instances
    per_instance = None if memory.per_instance == "auto" else parse_bytes(memory.per_instance)
    return Limits(
        instances.min,
        instances.max,
        parse_bytes(memory.reserve),
        per_instance,
        name=name,
    )
