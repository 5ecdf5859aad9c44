"""What is said of a pool whose spec cannot be read: its workers stay as they are."""

from __future__ import annotations

from collections.abc import Sequence

from ocrpool.planner.observed import ObservedPod, ObservedPool, PoolProblem
from ocrpool.planner.status.conditions import ConditionInputs, build_conditions
from ocrpool.planner.timestamps import format_timestamp
from ocrpool.resource.names import selector_of
from ocrpool.resource.status import PoolStatus


def invalid_spec_status(pool: ObservedPool, pods: Sequence[ObservedPod], now: float) -> PoolStatus:
    """The last status, with what can be counted without a spec, and the reason `InvalidSpec`."""
    before = pool.status
    message = (
        f"{pool.invalid_reason}; its workers stay as they are until it is applied again, corrected"
    )
    ready = sum(
        1 for pod in pods if pod.ready and pod.draining_since is None and pod.ends_at is None
    )
    inputs = ConditionInputs(
        # Unless it was followed before, nobody can know how many it wants.
        desired=max(1, before.desired_replicas),
        deleting=False,
        ready=ready,
        pods=len(pods),
        outdated=0,
        phases=(),
        problems=(("", PoolProblem("InvalidSpec", message)),),
    )
    return before.model_copy(
        update={
            "observed_generation": pool.generation,
            "replicas": len(pods),
            "ready_replicas": ready,
            "selector": selector_of(pool.name),
            "conditions": build_conditions(
                inputs, before.conditions, pool.generation, format_timestamp(now)
            ),
        }
    )
