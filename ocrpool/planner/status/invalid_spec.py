"""What is said of a pool whose spec cannot be read: its workers stay as they are."""

from __future__ import annotations

from collections.abc import Sequence

from ocrpool.planner.observed import Pod, Pool, Trouble
from ocrpool.planner.status.conditions import Finding, conditions
from ocrpool.planner.timestamps import stamp_of
from ocrpool.resource.names import selector_of
from ocrpool.resource.status import PoolStatus


def frozen_status(pool: Pool, pods: Sequence[Pod], now: float) -> PoolStatus:
    """The last status, with what can be counted without a spec, and the reason `InvalidSpec`."""
    before = pool.status
    message = f"{pool.invalid}; its workers stay as they are until it is applied again, corrected"
    ready = sum(1 for pod in pods if pod.ready and pod.draining is None and pod.ending is None)
    finding = Finding(
        # Unless it was followed before, nobody can know how many it wants.
        wanted=max(1, before.desired_replicas),
        deleting=False,
        ready=ready,
        pods=len(pods),
        outdated=0,
        phases=(),
        problems=(("", Trouble("InvalidSpec", message)),),
    )
    return before.model_copy(
        update={
            "observed_generation": pool.generation,
            "replicas": len(pods),
            "ready_replicas": ready,
            "selector": selector_of(pool.name),
            "conditions": conditions(finding, before.conditions, pool.generation, stamp_of(now)),
        }
    )
