"""`make bench`: all measurements in one run. Prints them and writes tools/bench/results/."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from tools.bench.lib.machine import this_machine
from tools.bench.lib.report import Report, write
from tools.bench.lib.rounds import Setup, say
from tools.bench.lib.servers import ROOT, StartError

PARTS = ("throughput", "pdf", "serving", "proxy", "handover", "equality", "headroom", "autoscaling")
# Only with `--only`: they compare with another build.
MORE = ("formats",)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of the staged models")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS + MORE, default=PARTS, help="these parts"
    )
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is not met")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "tools" / "bench" / "results", help="folder"
    )
    text = "serving, formats: compare with the worker of this commit (extracted to build/)"
    parser.add_argument("--before", metavar="COMMIT", help=text)
    given = parser.parse_args()
    setup = Setup(models=given.models.resolve(), quick=given.quick, before=given.before)
    machine = this_machine()
    print(machine, end="\n\n", flush=True)
    reports: list[Report] = []
    broken = False
    for part in given.only:
        say(f"{part}:")
        try:
            reports.append(importlib.import_module(f"tools.bench.compare.{part}").run(setup))
        except (StartError, RuntimeError) as error:
            # Go on with the other parts.
            print(f"{part}: {error}", file=sys.stderr)
            broken = True
            continue
        print(reports[-1].markdown(), flush=True)
    if reports:
        label = "" if set(given.only) == set(PARTS) else "-" + "-".join(given.only)
        label += "-quick" if given.quick else ""
        path = write(given.out, machine, reports, quick=given.quick, label=label)
        print(f"written: {path}")
    unmet = [goal for report in reports for goal in report.goals if not goal.met]
    return int(broken or (given.check and bool(unmet)))


if __name__ == "__main__":
    sys.exit(main())
