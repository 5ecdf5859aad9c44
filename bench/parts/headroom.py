"""The planner on simulated GPUs; `python -m bench.headroom` has more to choose."""

from __future__ import annotations

from bench.headroom.__main__ import FIRST, OBSERVATIONS, SHOWN, TRACES
from bench.headroom.measure import measure
from bench.headroom.plot import draw
from bench.lib.report import Report
from bench.lib.rounds import Setup, say
from bench.lib.servers import ROOT


def run(setup: Setup) -> Report:
    draw(SHOWN, OBSERVATIONS, ROOT / "bench" / "results" / "headroom.png")
    traces = TRACES // 50 if setup.quick else TRACES
    return measure(traces, OBSERVATIONS, say, first=FIRST)
