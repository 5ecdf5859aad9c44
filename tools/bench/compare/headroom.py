"""The planner on simulated GPUs. `make bench-simulate-headroom` has more options."""

from __future__ import annotations

from tools.bench.lib.report import Report
from tools.bench.lib.rounds import Setup, say
from tools.bench.lib.servers import ROOT
from tools.bench.simulate.headroom.__main__ import FIRST, OBSERVATIONS, SHOWN, TRACES
from tools.bench.simulate.headroom.measure import measure
from tools.bench.simulate.headroom.plot import draw


def run(setup: Setup) -> Report:
    draw(SHOWN, OBSERVATIONS, ROOT / "tools" / "bench" / "results" / "headroom.png")
    traces = TRACES // 50 if setup.quick else TRACES
    return measure(traces, OBSERVATIONS, say, first=FIRST)
