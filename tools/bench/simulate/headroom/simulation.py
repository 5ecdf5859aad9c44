"""One trace under one planner, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ocrpool.planner.instances.plan import plan_instances
from ocrpool.planner.instances.types import InstanceDecision, InstanceHistory, InstanceLimits
from ocrpool.protocol import State
from tools.bench.simulate.headroom.gpu import SimulatedGpu
from tools.bench.simulate.headroom.oracle import instance_seconds
from tools.bench.simulate.headroom.traces import Trace

Planner = Callable[[InstanceLimits, InstanceHistory, State, float], InstanceDecision]


@dataclass(frozen=True)
class TraceResult:
    """`growth`: the most that strangers grew in one observation interval. `surge`: in one reaction
    (interval, delay and retirement), and what our own instances took at most in one interval for
    pages larger than all before. Both in reserves. `hurried`: reversals that came within a
    cool-down of the one before; `unforced`: those of them before which no stranger grew and no page
    was larger than all before, so that nothing but the rule was to blame."""

    seed: int
    growth: float
    surge: float
    out_of_memory: int
    seconds: float
    oracle: float
    steps: int
    reversals: int
    hurried: int
    unforced: int


def limits_of(trace: Trace) -> InstanceLimits:
    return InstanceLimits(trace.minimum, trace.maximum, trace.reserve)


def run(
    trace: Trace,
    planner: Planner = plan_instances,
    watch: Callable[[SimulatedGpu, InstanceDecision], None] | None = None,
    *,
    brake: bool = False,
) -> TraceResult:
    """Let `planner` steer a simulated worker, with or without its own brake, through the trace."""
    gpu, limits, history = SimulatedGpu(trace, brake=brake), limits_of(trace), InstanceHistory()
    steps = reversals = hurried = unforced = direction = 0
    around = 0.0
    last_reversal = -limits.cool_down
    drift = 0
    for look in range(1, trace.observations):
        gpu.run_until(look * trace.interval)
        seen_at = gpu.now
        drift, gpu.ratcheted = max(drift, gpu.ratcheted), 0
        decision = planner(limits, history, gpu.state(), seen_at)
        history = decision.history
        if watch is not None:
            watch(gpu, decision)
        if decision.target == gpu.target:
            continue
        gpu.run_until(seen_at + trace.delay)
        way = 1 if decision.target > gpu.target else -1
        steps += 1
        if way == -direction:
            reversals += 1
            soon = seen_at - last_reversal < limits.cool_down
            hurried += soon
            unforced += soon and way < 0 and _around(gpu) - around < trace.reserve / 16
            last_reversal = seen_at
        direction, around = way, _around(gpu)
        gpu.set_target(decision.target)
    gpu.run_until(trace.seconds)
    return TraceResult(
        seed=trace.seed,
        growth=trace.growth(trace.interval),
        surge=trace.growth(trace.reaction) + drift / trace.reserve,
        out_of_memory=gpu.out_of_memory,
        seconds=gpu.ready_seconds,
        oracle=instance_seconds(trace),
        steps=steps,
        reversals=reversals,
        hurried=hurried,
        unforced=unforced,
    )


def _around(gpu: SimulatedGpu) -> float:
    """What strangers hold and what our instances may take, in bytes: what forces a step."""
    return gpu.strangers(gpu.now) + gpu.footprint * len(gpu.instances)
