"""`make bench-simulate-autoscaling`: the planner of workers on simulated days.

Writes a table and two pictures.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tools.bench.lib.machine import this_machine
from tools.bench.lib.rounds import say
from tools.bench.lib.servers import ROOT
from tools.bench.simulate.autoscaling.days import KINDS
from tools.bench.simulate.autoscaling.measure import measure
from tools.bench.simulate.autoscaling.plot import draw

SEEDS = 10
SHOWN = ("daily", "bursts")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-simulate-autoscaling", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="days of each kind (%(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="these kinds")
    parser.add_argument("--plot", type=int, default=0, help="seed to draw (%(default)s)")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is not met")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "tools" / "bench" / "results", help="folder"
    )
    given = parser.parse_args()
    if given.seeds < 1:
        parser.error("at least 1 day of each kind")
    started = time.monotonic()
    report = measure(given.seeds, say, given.kinds)
    took = time.monotonic() - started
    text = f"{report.markdown()}\nTook {took:.0f} s on {this_machine()}\n"
    print(text)
    (given.out / "autoscaling.md").write_text(text, encoding="utf-8")
    for kind in SHOWN:
        draw(kind, given.plot, given.out / f"autoscaling-{kind}.png")
    print(f"written: {given.out / 'autoscaling.md'} and the pictures of {' and '.join(SHOWN)} days")
    return int(given.check and any(not goal.met for goal in report.goals))


if __name__ == "__main__":
    sys.exit(main())
