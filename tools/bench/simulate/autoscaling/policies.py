"""Who decides how many workers there are: the real planner, and what people do without it."""

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
    """Asked at every look; one object a day."""

    def __call__(self, pool: SimulatedPool) -> int:
        """Workers there shall be."""


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
    """Always the same number."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __call__(self, pool: SimulatedPool) -> int:
        return self._count


class UtilisationHpa:
    """autoscaling/v2 on the GPUs' utilisation, with its own defaults: every 15 s, a tolerance of
    10 %, at most double or four more, 300 s of stabilisation downwards.

    NVML's utilisation is the share of time in which anything ran on the GPU. An instance's page is
    on the GPU for part of its time (`GPU_SHARE`), so of n instances each at work for a share r of
    the time, 1 − (1 − GPU_SHARE × r)ⁿ is seen: it says little of whether one more page fits.
    """

    GPU_SHARE = 0.4

    def __init__(self, maximum: int, goal: float = 0.7) -> None:
        self._maximum, self._goal = maximum, goal
        self._looked = -math.inf
        self._work: dict[str, float] = {}
        self._wanted: list[tuple[float, int]] = []

    def __call__(self, pool: SimulatedPool) -> int:
        count = len(pool.workers)
        if pool.now - self._looked < 15:
            return count
        seconds, self._looked = pool.now - self._looked, pool.now
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
        wanted = count
        if abs(ratio - 1) > 0.1:
            # Those that do not serve yet are taken to be idle on the way up, as an HPA does.
            wanted = math.ceil(len(shares) * ratio)
            wanted = max(wanted, count) if ratio > 1 else wanted
            wanted = min(wanted, max(2 * count, count + 4))
        wanted = min(max(wanted, 1), self._maximum)
        self._wanted = [each for each in self._wanted if each[0] > pool.now - 300]
        self._wanted.append((pool.now, wanted))
        return wanted if wanted > count else min(count, max(each for _, each in self._wanted))


class Hindsight:
    """The oracle's number for the minute that has just begun, asked for only now and kept for five
    minutes: all that can be known without knowing what comes. It waits for nodes like everybody."""

    def __init__(self, counts: list[int]) -> None:
        self._counts = counts

    def __call__(self, pool: SimulatedPool) -> int:
        minute = min(int(pool.now / 60), len(self._counts) - 1)
        return max(self._counts[max(0, minute - 4) : minute + 1])
