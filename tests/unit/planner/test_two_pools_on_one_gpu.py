"""Two pools on one GPU settle, although their planners do not know of each other."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from ocrpool.planner.instances.plan import plan_instances
from ocrpool.planner.instances.types import InstanceHistory, InstanceLimits
from ocrpool.protocol import Counters, State
from tests.states import GI, instance, state

EVERY = 5.0
TOTAL = 24 * GI


@dataclass
class Pool:
    """A simple worker: an instance starts within three observations and ends within one."""

    footprint: int
    limits: InstanceLimits
    target: int = 1
    warm: int = 0
    boot: float = 0.0
    leaving: int = 0
    boots: int = 0
    history: InstanceHistory = field(default_factory=InstanceHistory)
    steps: list[tuple[float, int]] = field(default_factory=list)

    @property
    def held(self) -> int:
        return int((self.warm + self.leaving + self.boot) * self.footprint)

    def pass_time(self) -> None:
        self.leaving = 0
        if self.boot or self.warm < self.target:
            self.boot += 1 / 3
            if self.boot > 0.99:
                self.boot, self.warm, self.boots = 0.0, self.warm + 1, self.boots + 1

    def look(self, free: int, total: int, now: float) -> None:
        decision = plan_instances(self.limits, self.history, self.seen(free, total), now)
        self.history = decision.history
        if decision.target != self.target:
            self.steps.append((now, decision.target - self.target))
        self.target = decision.target
        if self.boot and self.warm >= self.target:
            self.boot = 0.0
        gone = max(0, self.warm - self.target)
        self.warm, self.leaving = self.warm - gone, self.leaving + gone

    def seen(self, free: int, total: int) -> State:
        each = [instance(self.footprint)] * self.warm
        each += [instance(0, "booting")] * bool(self.boot)
        each += [instance(self.footprint, "retiring")] * self.leaving
        return state(
            free,
            total=total,
            each=each,
            footprint=self.footprint if self.boots else 0,
            target=self.target,
            ceiling=32,
            counters=Counters(boots=self.boots),
        )


def share(seed: int, *, newcomer: float | None = None) -> tuple[list[Pool], int]:
    """Two pools of random footprints for 50 minutes on a GPU of 24 GiB; the pools, and the bytes
    left at the end. `newcomer`: the second one comes when the first has filled the GPU, and its
    instances hold up to so many GiB."""
    dice = random.Random(seed)
    pools = [
        Pool(int(dice.uniform(0.7, most) * GI), InstanceLimits(1, 32, GI, name=name))
        for name, most in (("first", 4.0), (f"batch-{seed}", newcomer or 4.0))
    ]
    comes, phase = (0 if newcomer is None else 100), dice.uniform(0, EVERY)
    for look in range(600):
        for pool, after in zip(pools, (0.0, phase), strict=True):
            if pool is pools[0] or look >= comes:
                pool.pass_time()
                free = TOTAL - sum(one.held for one in pools)
                assert free >= 0, f"out of memory at look {look}: {pools}"
                pool.look(free, TOTAL, look * EVERY + after)
    return pools, TOTAL - sum(one.held for one in pools)


def at_rest(pools: list[Pool]) -> bool:
    """Whether no pool changed its target in the second half of the time."""
    return not any(now > 300 * EVERY for pool in pools for now, _ in pool.steps)


@pytest.mark.parametrize("seed", range(30))
def test_two_pools_share_a_gpu_and_settle(seed: int) -> None:
    pools, left = share(seed)
    assert at_rest(pools)
    assert min(pool.warm for pool in pools) >= 2
    assert GI * 7 / 8 <= left < GI + 2 * max(pool.footprint for pool in pools)


@pytest.mark.parametrize("seed", range(30))
def test_second_pool_gets_its_first_instance_on_a_full_gpu(seed: int) -> None:
    """If its start takes less than the reserve per observation, the other pool shrinks in time."""
    pools, left = share(seed, newcomer=1.5)
    assert at_rest(pools)
    assert min(pool.warm for pool in pools) >= 1
    assert left >= GI * 7 / 8
