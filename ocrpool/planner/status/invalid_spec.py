"""The status of a pool with an invalid spec. Its workers stay unchanged."""

from __future__ import annotations

from collections.abc import Sequence

from ocrpool.planner.observed import ObservedPod, ObservedPool, PoolProblem
from ocrpool.planner.status.conditions import ConditionInputs, build_conditions
from ocrpool.planner.timestamps import format_timestamp
from ocrpool.resource.names import selector_of
from ocrpool.resource.status import PoolStatus


def invalid_spec_status(pool: ObservedPool, pods: Sequence[ObservedPod], now: float) -> PoolStatus:
    """Return the last status with current pod counts and the reason `InvalidSpec`."""
    before = pool.status
    message = f"{pool.invalid_reason}; workers stay unchanged until a corrected spec is applied"
    ready = sum(
        1 for pod in pods if pod.ready and pod.draining_since is None and pod.ends_at is None
    )
    inputs = ConditionInputs(
        # If the pool never had a valid spec, its desired number is unknown.
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
