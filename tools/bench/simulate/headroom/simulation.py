"""One trace under one planner, and its result."""

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
    """`growth`: the most that other processes grew in one observation interval. `surge`: the same
    in one reaction (interval, delay and retirement), plus the most that larger pages took in one
    interval. Both are in reserves. `hurried`: reversals within a cool-down of the one before.
    `unforced`: those of them that only the rule explains, because before them no other process
    grew and no page was larger than all before."""

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


def simulate_trace(
    trace: Trace,
    planner: Planner = plan_instances,
    watch: Callable[[SimulatedGpu, InstanceDecision], None] | None = None,
    *,
    memory_guard: bool = False,
) -> TraceResult:
    """Let `planner` scale a simulated worker, with or without the worker's own memory guard."""
    gpu, limits, history = (
        SimulatedGpu(trace, memory_guard=memory_guard),
        limits_of(trace),
        InstanceHistory(),
    )
    steps = reversals = hurried = unforced = direction = 0
    pressure = 0.0
    last_reversal = -limits.cool_down
    drift = 0
    for number in range(1, trace.observations):
        gpu.run_until(number * trace.interval)
        observed_at = gpu.now
        drift, gpu.ratcheted = max(drift, gpu.ratcheted), 0
        decision = planner(limits, history, gpu.state(), observed_at)
        history = decision.history
        if watch is not None:
            watch(gpu, decision)
        if decision.target == gpu.target:
            continue
        gpu.run_until(observed_at + trace.delay)
        way = 1 if decision.target > gpu.target else -1
        steps += 1
        if way == -direction:
            reversals += 1
            soon = observed_at - last_reversal < limits.cool_down
            hurried += soon
            unforced += soon and way < 0 and _outside_pressure(gpu) - pressure < trace.reserve / 16
            last_reversal = observed_at
        direction, pressure = way, _outside_pressure(gpu)
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


def _outside_pressure(gpu: SimulatedGpu) -> float:
    """Bytes that other processes hold and that our instances may take. A change forces a step."""
    return gpu.other_processes(gpu.now) + gpu.footprint * len(gpu.instances)
