"""The number of workers on simulated days. `make bench-simulate-autoscaling` has more options."""

from __future__ import annotations

from tools.bench.lib.report import Report
from tools.bench.lib.rounds import Setup, say
from tools.bench.lib.servers import ROOT
from tools.bench.simulate.autoscaling.__main__ import SEEDS, SHOWN
from tools.bench.simulate.autoscaling.measure import measure
from tools.bench.simulate.autoscaling.plot import draw


def run(setup: Setup) -> Report:
    if setup.quick:
        return measure(1, say, ("daily",))
    for kind in SHOWN:
        draw(kind, 0, ROOT / "tools" / "bench" / "results" / f"autoscaling-{kind}.png")
    return measure(SEEDS, say)
