"""One day under one policy, and its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tools.bench.simulate.autoscaling.days import DAY, Day
from tools.bench.simulate.autoscaling.policies import Decider
from tools.bench.simulate.autoscaling.pool import SimulatedPool, slow_minutes

# Seconds between observations, as in the operator.
INTERVAL = 5


@dataclass(frozen=True)
class DayResult:
    """`hours`: paid GPU hours. `slow`: the share of minutes over the target. `wait`: the p95 queue
    wait of answered requests in seconds. `changes`: how often the number of workers changed."""

    kind: str
    seed: int
    policy: str
    hours: float
    slow: float
    wait: float
    refused: int
    changes: int
    requests: int


def simulate_day(
    day: Day,
    name: str,
    policy: Decider,
    begin: int,
    watch: Callable[[SimulatedPool], None] | None = None,
) -> DayResult:
    """Let `policy` decide from midnight to midnight. The day begins with `begin` full workers."""
    pool = SimulatedPool(day, begin)
    changes = 0
    for moment in range(INTERVAL, DAY + 1, INTERVAL):
        pool.run_until(float(moment))
        count = policy(pool)
        if count != len(pool.workers):
            changes += 1
            pool.set_workers(count)
        if watch is not None:
            watch(pool)
    hours = pool.paid() / 3600
    pool.run_until(DAY + 900.0)  # requests that wait at midnight are still read
    waits = np.array(pool.waits)
    return DayResult(
        kind=day.kind,
        seed=day.seed,
        policy=name,
        hours=hours,
        slow=slow_minutes(day, pool.waits),
        wait=float(np.percentile(waits[np.isfinite(waits)], 95)),
        refused=pool.refused,
        changes=changes,
        requests=len(day.at),
    )
