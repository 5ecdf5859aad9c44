"""A picture of one day: requested and ready workers, the oracle's, and below the queue waits."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import numpy as np
from matplotlib import pyplot as plt

from tools.bench.simulate.autoscaling import oracle
from tools.bench.simulate.autoscaling.days import MINUTES, make_day
from tools.bench.simulate.autoscaling.policies import PlannerPolicy
from tools.bench.simulate.autoscaling.pool import TARGET, SimulatedPool
from tools.bench.simulate.autoscaling.simulation import simulate_day


def draw(kind: str, seed: int, path: Path) -> None:
    """Write the picture of a day under the planner as PNG."""
    day = make_day(kind, seed)
    counts = oracle.workers_by_minute(day)
    time: list[float] = []
    requested: list[int] = []
    ready: list[int] = []
    pools: list[SimulatedPool] = []

    def watch(pool: SimulatedPool) -> None:
        time.append(pool.now / 3600)
        requested.append(len(pool.workers))
        ready.append(pool.ready)
        pools[:] = [pool]

    result = simulate_day(day, "the planner", PlannerPolicy(day.maximum), counts[0], watch)
    hours = np.arange(MINUTES) / 60
    weights = np.add.reduceat(day.takes, day.first[:-1])
    minute = np.minimum((day.at / 60).astype(int), MINUTES - 1)
    load = np.bincount(minute, weights=weights, minlength=MINUTES) / 60 / day.slots
    waits = np.array(pools[0].waits)
    worst = np.zeros(MINUTES)
    for each in np.unique(minute):
        worst[each] = min(np.percentile(waits[minute == each], 95, method="lower"), 60.0)

    figure, (workers, waiting) = plt.subplots(
        2, 1, figsize=(11, 6.5), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    workers.fill_between(hours, load, color="#c9a45c", alpha=0.6, label="load, in full workers")
    workers.step(hours, counts, where="post", color="#202020", linewidth=1, label="oracle")
    workers.step(time, requested, where="post", color="#8a8a8a", linewidth=1.4, label="requested")
    workers.step(time, ready, where="post", color="#3f7d6b", linewidth=1.8, label="ready")
    workers.set_ylim(0, max(*requested, *counts) * 1.25)  # room for the legend
    workers.set_ylabel("workers")
    workers.legend(loc="upper left", ncols=4, framealpha=0.95)
    ratio = result.hours * 3600 / oracle.seconds(day, counts)
    workers.set_title(
        f"Simulated day ({kind}, seed {seed}): {ratio:.2f} times the oracle's GPU-hours, "
        f"{1 - result.slow:.1%} of the minutes within the target",
        loc="left",
    )
    waiting.plot(hours, worst, color="#3f7d6b", linewidth=0.9)
    waiting.axhline(TARGET, color="#b33a3a", linewidth=1, label=f"target {TARGET:g} s")
    waiting.set_ylabel("p95 wait, s")
    waiting.set_xlabel("hour")
    waiting.legend(loc="upper left", framealpha=0.95)
    for part in (workers, waiting):
        part.margins(x=0)
        part.grid(axis="y", color="#dddddd", linewidth=0.6)
        part.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
