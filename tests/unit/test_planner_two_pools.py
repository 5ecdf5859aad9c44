"""Two pools on one GPU, each with a planner that knows nothing of the other: they settle."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from ocrpool_operator.planner.instances import plan
from ocrpool_operator.planner.types import History, Limits, own_cool_down
from ocrpool_wire import Counters, State
from tests.unit.planner_states import GI, instance, state

EVERY = 5.0


@dataclass
class Pool:
    """A worker in as few words as possible: each boot takes three looks, each end one."""

    footprint: int
    limits: Limits
    target: int = 1
    warm: int = 0
    boot: float = 0.0
    leaving: int = 0
    boots: int = 0
    ceiling: int = 32
    raised: float = 0.0
    history: History = field(default_factory=History)
    steps: list[tuple[float, int]] = field(default_factory=list)

    @property
    def held(self) -> int:
        return int((self.warm + self.leaving + self.boot) * self.footprint)

    def pass_time(self) -> None:
        self.leaving = 0
        if self.boot or self.warm < min(self.target, self.ceiling):
            self.boot += 1 / 3
            if self.boot > 0.99:
                self.boot, self.warm, self.boots = 0.0, self.warm + 1, self.boots + 1

    def boot_fails(self, now: float) -> None:
        """For want of memory: the worker allows itself what it has, and one more after 300 s."""
        self.boot, self.ceiling, self.raised = 0.0, self.warm, now + 300

    def look(self, free: int, total: int, now: float) -> None:
        if now > self.raised:
            self.ceiling = 32
        decision = plan(self.limits, self.history, self.seen(free, total), now)
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
            ceiling=self.ceiling,
            counters=Counters(boots=self.boots),
        )


@pytest.mark.parametrize("seed", range(30))
def test_they_share_the_gpu_and_come_to_rest(seed: int) -> None:
    dice = random.Random(seed)
    total = 24 * GI
    names = ("desk", f"batch-{seed}")
    pools = [
        Pool(int(dice.uniform(0.7, 4) * GI), Limits(1, 32, GI, cool_down=own_cool_down(name)))
        for name in names
    ]
    late = dice.choice((0, 0, 40, 100))  # the second one may come to a GPU that is full
    phase = dice.uniform(0, EVERY)
    if late:
        pools[1].target = 0
    collisions = 0
    for look in range(600):
        now = look * EVERY
        if late and look == late:
            pools[1].target = 1
        for pool, after in zip(pools, (0.0, phase), strict=True):
            if pool is pools[1] and look < late:
                continue
            pool.pass_time()
            free = total - sum(one.held for one in pools)
            if free < 0:  # both boot into the same last room: the later one finds none
                collisions += 1
                max(pools, key=lambda one: one.boot).boot_fails(now)
                free = total - sum(one.held for one in pools)
            assert free >= 0
            pool.look(free, total, now + after)
    assert collisions <= 1
    for pool in pools:
        assert pool.target >= 1
        assert [step for step in pool.steps if step[0] > 300 * EVERY] == []
    left = total - sum(one.held for one in pools)
    assert left >= GI * 7 / 8
    assert left < GI + 2 * max(pool.footprint for pool in pools)  # little lies idle
