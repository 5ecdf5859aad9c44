"""Policies for the number of workers: the real planner, and what people use without it."""

from __future__ import annotations

import math
from typing import Protocol

from ocrpool.planner.workers.autoscaling import (
    AutoscalingHistory,
    AutoscalingPolicy,
    PoolLoad,
    WorkerDecision,
    decide_worker_count,
)
from tools.bench.simulate.autoscaling.pool import TARGET, SimulatedPool


class Decider(Protocol):
    """Called at every observation; one object for each day."""

    def __call__(self, pool: SimulatedPool) -> int:
        """The desired number of workers."""


class PlannerPolicy:
    """The planner with the defaults of `spec.autoscaling`."""

    def __init__(self, maximum: int, policy: AutoscalingPolicy | None = None) -> None:
        self.policy = policy or AutoscalingPolicy(1, maximum, TARGET, shared=True)
        self._history = AutoscalingHistory()
        self.last: WorkerDecision | None = None

    def __call__(self, pool: SimulatedPool) -> int:
        seen = PoolLoad(pool.figures(), len(pool.workers))
        self.last = decide_worker_count(self.policy, self._history, seen, pool.now)
        self._history = self.last.history
        return self.last.desired


class FixedReplicas:
    """Keeps the same number all day."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __call__(self, pool: SimulatedPool) -> int:
        return self._count


class UtilisationHpa:
    """autoscaling/v2 on the GPUs' utilisation, with its own defaults: every 15 s, a tolerance of
    10 %, at most double or four more, 300 s of stabilisation downwards.

    NVML's utilisation is the share of time in which anything ran on the GPU. A page is on the GPU
    for a part of its time only (`GPU_SHARE`). With n instances that are busy for a share r of the
    time, NVML reports 1 − (1 − GPU_SHARE × r)ⁿ, which hardly depends on the capacity that is left.
    """

    GPU_SHARE = 0.4

    def __init__(self, maximum: int, goal: float = 0.7) -> None:
        self._maximum, self._goal = maximum, goal
        self._observed_at = -math.inf
        self._work: dict[str, float] = {}
        self._recommended: list[tuple[float, int]] = []

    def __call__(self, pool: SimulatedPool) -> int:
        count = len(pool.workers)
        if pool.now - self._observed_at < 15:
            return count
        seconds, self._observed_at = pool.now - self._observed_at, pool.now
        shares = []
        figures = [each for each in pool.figures() if each.serving]
        for each in figures:
            busy = each.work - self._work.get(each.name, each.work)
            rate = min(1.0, busy / seconds / each.instances)
            shares.append(1 - (1 - self.GPU_SHARE * rate) ** each.instances)
        self._work = {each.name: each.work for each in figures}
        if not shares:
            return count
        ratio = sum(shares) / len(shares) / self._goal
        recommended = count
        if abs(ratio - 1) > 0.1:
            # An HPA counts workers that do not serve yet as idle while it scales up.
            recommended = math.ceil(len(shares) * ratio)
            recommended = max(recommended, count) if ratio > 1 else recommended
            recommended = min(recommended, max(2 * count, count + 4))
        recommended = min(max(recommended, 1), self._maximum)
        self._recommended = [each for each in self._recommended if each[0] > pool.now - 300]
        self._recommended.append((pool.now, recommended))
        return (
            recommended
            if recommended > count
            else min(count, max(each for _, each in self._recommended))
        )


class Hindsight:
    """The oracle's number for the current minute, requested only now and kept for five minutes. It
    knows the present perfectly and nothing of the future. It waits for nodes as others do."""

    def __init__(self, counts: list[int]) -> None:
        self._counts = counts

    def __call__(self, pool: SimulatedPool) -> int:
        minute = min(int(pool.now / 60), len(self._counts) - 1)
        return max(self._counts[max(0, minute - 4) : minute + 1])
