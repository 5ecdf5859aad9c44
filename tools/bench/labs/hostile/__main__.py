"""`make bench-hostile`: attacks on running workers and faults under load, in one table.

All traffic goes to loopback, and every run is limited in number and time. The exit status is 1
where a bound is broken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.bench.labs.hostile import real_ocr, stress
from tools.bench.labs.hostile.attacks import ATTACKS
from tools.bench.labs.hostile.measure import CALLBACK_SECONDS, MEMORY_FACTOR, describe_error
from tools.bench.labs.hostile.result import AttackResult
from tools.bench.labs.hostile.target import MIB
from tools.bench.lib.machine import this_machine
from tools.bench.lib.report import Goal, Report, write
from tools.bench.lib.rounds import say
from tools.bench.lib.servers import ROOT

STORMS = ("malformed", "faults")
# Started first, because they take the longest.
SLOW = ("faults", "kills", "malformed")


def main() -> int:
    given = _arguments()
    machine = this_machine()
    print(machine, end="\n\n", flush=True)
    runs = _runs(given)
    # Most attacks mostly wait, so several run at once, each on a worker of its own.
    with ThreadPoolExecutor(given.jobs) as threads:
        first = sorted(runs, key=lambda run: run[0] not in SLOW)
        begun = {name: threads.submit(_run_one, name, run) for name, run in first}
        results = [begun[name].result() for name, _ in runs]
    report = report_of(results, quick=given.quick)
    print(report.markdown(), flush=True)
    if given.write:
        label = "-hostile" + ("-quick" if given.quick else "")
        print(f"written: {write(given.out, machine, [report], quick=given.quick, label=label)}")
    return int(any(one.problems for one in results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-hostile", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the short form, about a minute")
    parser.add_argument(
        "--only", nargs="+", choices=(*ATTACKS, *STORMS, "real"), help="these (default: all)"
    )
    parser.add_argument("--requests", type=int, help="malformed requests (20,000; quick: 500)")
    parser.add_argument("--faults", type=int, help="faults at random (200; quick: 30)")
    parser.add_argument("--pages", type=int, help="pages during the faults (ten for each)")
    parser.add_argument(
        "--real-ocr", action="store_true", help="also 60 faults in 300 requests with PaddleOCR"
    )
    parser.add_argument("--models", type=Path, help="folder of the staged models, for --real-ocr")
    parser.add_argument("--jobs", type=int, help="runs at the same time (1; quick: 3)")
    parser.add_argument("--write", action="store_true", help="also write the results to a file")
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "tools" / "bench" / "results",
        help="folder of the results",
    )
    given = parser.parse_args()
    given.requests = given.requests or (500 if given.quick else 20_000)
    given.faults = given.faults or (30 if given.quick else 200)
    given.pages = given.pages or 10 * given.faults
    given.jobs = given.jobs or (3 if given.quick else 1)
    given.only = given.only or [*ATTACKS, *STORMS, *(["real"] if given.real_ocr else [])]
    if "real" in given.only and given.models is None:
        parser.error("--real-ocr needs --models DIR")
    return given


def _runs(given: argparse.Namespace) -> list[tuple[str, Callable[[], AttackResult]]]:
    quick: bool = given.quick
    runs: dict[str, Callable[[], AttackResult]] = {
        name: lambda attack=attack: attack(quick)  # type: ignore[misc]
        for name, attack in ATTACKS.items()
    }
    runs["malformed"] = lambda: stress.malformed(given.requests)
    runs["faults"] = lambda: stress.faults(given.faults, given.pages)
    runs["real"] = lambda: real_ocr.faults(given.models, quick=quick)
    return [(name, run) for name, run in runs.items() if name in given.only]


def _run_one(name: str, run: Callable[[], AttackResult]) -> AttackResult:
    say(f"{name} …")
    try:
        out = run()
    except Exception as error:  # the other runs go on
        out = AttackResult(name, problems=[describe_error(error)])
    verdict = "held" if not out.problems else f"{len(out.problems)} bounds BROKEN"
    say(f"{out.name}: {verdict}, {out.seconds:.0f} s")
    for text in out.problems:
        say(f"  BROKEN {text}")
    for text in out.notes:
        say(f"  {text}")
    return out


def report_of(results: Sequence[AttackResult], *, quick: bool) -> Report:
    """One row for each run."""
    return Report(
        part="hostile",
        title="attacks on a running worker, and faults under load",
        method=(
            "Each row is a worker of its own. The text of its test engine is a function of the",
            "pixels and parameters of a page, so regular clients can check every answer. Memory:",
            "the most that the supervisor held, of its memory at rest plus its budgets.",
            "Callback: the most CPU time of one callback of its event loop. Late: the largest",
            "delay of the loop, which includes other work of the machine and stops of the",
            "supervisor. In the run of faults the cool-down of the ceiling is two seconds, and the",
            "wall clock jumps in the supervisor's Python code only.",
        ),
        columns=(
            "attack",
            "load held",
            "faults",
            "bad inputs",
            "pages",
            "lost",
            "doubled",
            "wrong",
            "refused",
            "memory MiB",
            "callback ms",
            "late ms",
            "bounds",
        ),
        rows=tuple(_row(one) for one in results),
        goals=(
            Goal("bounds broken", sum(len(one.problems) for one in results), 0, at_least=False),
            Goal(
                "longest callback, ms of CPU",
                1000 * max((one.cpu for one in results), default=0),
                1000 * CALLBACK_SECONDS,
                at_least=False,
            ),
            Goal(
                "most memory of a supervisor, of its budgets",
                max((_share(one) for one in results), default=0),
                MEMORY_FACTOR,
                at_least=False,
            ),
        ),
        rounds={
            one.name: {
                "problems": one.problems,
                "notes": one.notes,
                "statuses": {str(status): n for status, n in one.counts.statuses.items()},
                "callback": one.cpu_of,
                "seconds": one.seconds,
            }
            for one in results
        },
    )


def _share(out: AttackResult) -> float:
    """The memory above rest, as a share of the budgets."""
    return max(0, out.peak - out.resting) / max(1, out.budget - out.resting)


def _row(out: AttackResult) -> tuple[str, ...]:
    counts = out.counts
    numbers = (out.faults, out.bad, counts.sent, counts.lost, counts.doubled)
    return (
        out.name,
        out.held,
        *(str(number) for number in (*numbers, counts.wrong, counts.refused)),
        f"{out.peak // MIB} of {out.budget // MIB}",
        f"{out.cpu * 1000:.0f}",
        f"{out.stall * 1000:.0f}",
        "held" if not out.problems else f"{len(out.problems)} BROKEN",
    )


if __name__ == "__main__":
    sys.exit(main())
