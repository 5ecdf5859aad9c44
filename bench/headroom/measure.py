"""Thousands of traces under the real planner, as one report with its goals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from bench.headroom.episode import Outcome, run
from bench.headroom.fixed import FixedCount
from bench.headroom.traces import make
from bench.lib.report import Goal, Report

# A fixed count is worth a look, not a night.
FIXED_SHARE = 20
_BANDS = ((0.0, 0.5), (0.5, 0.75), (0.75, 1.0), (1.0, float("inf")))


def measure(traces: int, observations: int, say: Callable[[str], None]) -> Report:
    """Run the traces of the seeds 0 to `traces` − 1."""
    outcomes = []
    for seed in range(traces):
        outcomes.append(run(make(seed, observations)))
        if (seed + 1) % max(1, traces // 10) == 0:
            say(f"{seed + 1} of {traces} traces")
    fixed = [
        run(make(seed, observations), FixedCount()) for seed in range(max(1, traces // FIXED_SHARE))
    ]
    return report(outcomes, fixed, observations)


def report(outcomes: Sequence[Outcome], fixed: Sequence[Outcome], observations: int) -> Report:
    rows = [_row("all", outcomes)]
    for low, high in _BANDS:
        name = f"surge {low:g} to {high:g} reserves" if high < 9 else f"surge over {low:g} reserve"
        rows.append(_row(name, [one for one in outcomes if low <= one.surge < high]))
    slower = [one for one in outcomes if one.growth < 1]
    rows.append(_row("strangers under 1 reserve per observation", slower))
    rows.append(_row("a fixed count, as set by hand", fixed))
    foreseeable = [one for one in outcomes if one.surge < 1]
    return Report(
        part="headroom",
        title=f"the planner on {len(outcomes)} simulated GPUs of {observations} observations each",
        method=(
            "Seeded random traces: strangers that come and go, pages larger than all before, noise "
            "and delay in what is observed, boots of 5 to 30 s, retirements, crashes.",
            "Surge: the most that strangers grew within one reaction (observation interval, delay "
            "and retirement) and that larger pages took in one interval, in reserves.",
            "The oracle knows the future, keeps the reserve, and needs no second look, no "
            "retirement and no cool-down.",
            "A reversal is hurried when it comes within a cool-down of the one before, and "
            "unforced when nothing around had changed.",
        ),
        columns=(
            "traces",
            "number",
            "out of memory",
            "instance-seconds / oracle",
            "steps",
            "reversals",
            "hurried",
            "unforced",
        ),
        rows=tuple(rows),
        goals=(
            Goal("traces out of memory, surge under 1 reserve", _ran_out(foreseeable), 0, False),
            Goal(
                "traces out of memory, strangers under 1 reserve per observation",
                _ran_out(slower),
                0,
                False,
            ),
            Goal("instance-seconds of the oracle's", _share(outcomes), 0.95),
            Goal("hurried reversals", sum(one.hurried for one in outcomes), 0, False),
            Goal("of them unforced", sum(one.unforced for one in outcomes), 0, False),
        ),
        rounds={"outOfMemory": [asdict(one) for one in slower if one.out_of_memory]},
    )


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    if not outcomes:
        return (name, "0", *["–"] * 6)
    return (
        name,
        str(len(outcomes)),
        f"{_ran_out(outcomes)} ({_ran_out(outcomes) / len(outcomes):.2%})",
        f"{_share(outcomes):.1%}",
        str(sum(one.steps for one in outcomes)),
        str(sum(one.reversals for one in outcomes)),
        str(sum(one.hurried for one in outcomes)),
        str(sum(one.unforced for one in outcomes)),
    )


def _ran_out(outcomes: Sequence[Outcome]) -> int:
    return sum(one.out_of_memory > 0 for one in outcomes)


def _share(outcomes: Sequence[Outcome]) -> float:
    best = sum(one.oracle for one in outcomes)
    return sum(one.seconds for one in outcomes) / best if best else 0.0
