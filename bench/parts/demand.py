"""Workers by demand on simulated days; `python -m bench.demand` has more to choose."""

from __future__ import annotations

from bench.demand.__main__ import SEEDS, SHOWN
from bench.demand.measure import measure
from bench.demand.plot import draw
from bench.lib.report import Report
from bench.lib.rounds import Setup, say
from bench.lib.servers import ROOT


def run(setup: Setup) -> Report:
    if setup.quick:
        return measure(1, say, ("daily",))
    for kind in SHOWN:
        draw(kind, 0, ROOT / "bench" / "results" / f"demand-{kind}.png")
    return measure(SEEDS, say)
