"""A picture of one trace: memory over time, the instances, and the decisions."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from ocrpool.planner.instances.types import InstanceDecision
from tools.bench.simulate.headroom.gpu import SimulatedGpu
from tools.bench.simulate.headroom.simulation import simulate_trace
from tools.bench.simulate.headroom.traces import GI, make_trace

_MORE, _FEWER = "#1f4fa3", "#b3261e"


def draw(seed: int, observations: int, path: Path) -> None:
    """Write the picture of a trace as PNG."""
    trace = make_trace(seed, observations)
    time: list[float] = []
    ours: list[float] = []
    others: list[float] = []
    ready: list[int] = []
    target: list[int] = []

    def watch(gpu: SimulatedGpu, decision: InstanceDecision) -> None:
        time.append(gpu.now / 60)
        ours.append(gpu.ours() / GI)
        others.append(gpu.other_processes(gpu.now) / GI)
        ready.append(sum(gpu.now >= one.ready for one in gpu.instances))
        target.append(decision.target)

    result = simulate_trace(trace, watch=watch)
    total, reserve = trace.total / GI, trace.reserve / GI
    steps = [i for i in range(1, len(target)) if target[i] != target[i - 1]]
    figure, (memory, count) = plt.subplots(
        2, 1, figsize=(11, 7), sharex=True, height_ratios=(5, 2), layout="constrained"
    )
    memory.stackplot(
        time,
        others,
        ours,
        labels=("other processes", "our instances"),
        colors=("#c9a45c", "#3f7d6b"),
    )
    memory.axhline(total, color="#202020", linewidth=1.6, label="the GPU's total")
    memory.axhspan(total - reserve, total, color="#b33a3a", alpha=0.25, label="reserve")
    for step in steps:  # a line from 0 to the memory at the time of the decision
        colour = _MORE if target[step] > target[step - 1] else _FEWER
        used = ours[step] + others[step]
        memory.plot([time[step]] * 2, [0, used], color=colour, linewidth=0.9, alpha=0.8)
    memory.set_ylim(0, total * 1.14)  # room for the legend
    memory.set_ylabel("memory in use, GiB")
    memory.legend(loc="upper left", ncols=4, framealpha=0.95)
    memory_errors = (
        f"{result.out_of_memory} × out of memory" if result.out_of_memory else "never out of memory"
    )
    memory.set_title(
        f"Simulated GPU, seed {seed}: {result.seconds / result.oracle:.1%} of the oracle's "
        f"instance-seconds, {memory_errors}, {result.steps} steps",
        loc="left",
    )
    count.step(time, target, where="post", color="#8a8a8a", linewidth=1.4, label="target")
    count.step(time, ready, where="post", color="#3f7d6b", linewidth=1.8, label="warm")
    for marker, colour, way, name in (
        ("^", _MORE, 1, "decision: one more"),
        ("v", _FEWER, -1, "decision: fewer"),
    ):
        chosen = [i for i in steps if (target[i] - target[i - 1]) * way > 0]
        count.plot(
            [time[i] for i in chosen],
            [target[i] for i in chosen],
            marker,
            color=colour,
            markersize=7,
            label=name,
        )
    count.set_ylim(0, max(target) * 1.6)  # room for the legend
    count.yaxis.get_major_locator().set_params(integer=True)
    count.set_ylabel("instances")
    count.set_xlabel("minutes")
    count.legend(loc="upper left", ncols=4, framealpha=0.95)
    for part in (memory, count):
        part.margins(x=0)
        part.grid(axis="y", color="#dddddd", linewidth=0.6)
        part.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
