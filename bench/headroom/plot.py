"""A picture of one trace: memory over time (ours, strangers', reserve, total) and instances."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from bench.headroom.episode import run
from bench.headroom.gpu import Gpu
from bench.headroom.traces import GI, make
from ocrpool_operator.planner.types import Decision


def draw(seed: int, observations: int, path: Path) -> None:
    """Write the picture of a trace as PNG."""
    trace = make(seed, observations)
    time: list[float] = []
    ours: list[float] = []
    strangers: list[float] = []
    ready: list[int] = []
    target: list[int] = []

    def watch(gpu: Gpu, decision: Decision) -> None:
        time.append(gpu.now / 60)
        ours.append(gpu.ours() / GI)
        strangers.append(gpu.strangers(gpu.now) / GI)
        ready.append(sum(gpu.now >= one.ready for one in gpu.members))
        target.append(decision.target)

    outcome = run(trace, watch=watch)
    total, reserve = trace.total / GI, trace.reserve / GI
    figure, (memory, count) = plt.subplots(
        2, 1, figsize=(11, 6.5), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    memory.stackplot(
        time, strangers, ours, labels=("strangers", "ours"), colors=("#c9a45c", "#3f7d6b")
    )
    memory.axhline(total, color="#202020", linewidth=1.6, label="total")
    memory.axhspan(total - reserve, total, color="#b33a3a", alpha=0.25, label="reserve")
    memory.set_ylim(0, total * 1.14)  # the legend's place
    memory.set_ylabel("memory, GiB")
    memory.legend(loc="upper left", ncols=4, framealpha=0.95)
    said = (
        f"{outcome.out_of_memory} × out of memory"
        if outcome.out_of_memory
        else "never out of memory"
    )
    memory.set_title(
        f"Simulated GPU, seed {seed}: {outcome.seconds / outcome.oracle:.1%} of the oracle's "
        f"instance-seconds, {said}, {outcome.steps} steps",
        loc="left",
    )
    count.step(time, target, where="post", color="#8a8a8a", linewidth=1.4, label="target")
    count.step(time, ready, where="post", color="#3f7d6b", linewidth=1.8, label="ready")
    count.set_ylim(0, max(target) * 1.6)  # the legend's place
    count.set_ylabel("instances")
    count.set_xlabel("minutes")
    count.legend(loc="upper left", ncols=2, framealpha=0.95)
    for part in (memory, count):
        part.margins(x=0)
        part.grid(axis="y", color="#dddddd", linewidth=0.6)
        part.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
