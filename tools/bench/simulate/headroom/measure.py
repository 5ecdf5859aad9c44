"""Thousands of traces under the real planner, as one report with its goals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from tools.bench.lib.report import Goal, Report
from tools.bench.simulate.headroom.fixed import FixedCount
from tools.bench.simulate.headroom.simulation import TraceResult, simulate_trace
from tools.bench.simulate.headroom.traces import make_trace

# A fixed count and the memory guard run on one trace in so many, to save time.
SOME = 20
_BANDS = ((0.0, 0.5), (0.5, 0.75), (0.75, 1.0), (1.0, float("inf")))


def measure(
    traces: int, observations: int, say: Callable[[str], None], *, first: int = 0
) -> Report:
    """Run the traces of so many seeds; run those that ran out of memory again with the memory
    guard."""
    results = []
    for seed in range(first, first + traces):
        results.append(simulate_trace(make_trace(seed, observations)))
        if len(results) % max(1, traces // 10) == 0:
            say(f"{len(results)} of {traces} traces")
    some = range(first, first + max(1, traces // SOME))
    return report(
        results,
        [simulate_trace(make_trace(seed, observations), FixedCount()) for seed in some],
        [simulate_trace(make_trace(seed, observations), memory_guard=True) for seed in some],
        [
            simulate_trace(make_trace(one.seed, observations), memory_guard=True)
            for one in results
            if one.out_of_memory
        ],
        observations,
    )


def report(
    results: Sequence[TraceResult],
    fixed: Sequence[TraceResult],
    guarded: Sequence[TraceResult],
    again: Sequence[TraceResult],
    observations: int,
) -> Report:
    rows = [_row("all", results)]
    for low, high in _BANDS:
        name = f"surge {low:g} to {high:g} reserves" if high < 9 else f"surge over {low:g} reserve"
        rows.append(_row(name, [one for one in results if low <= one.surge < high]))
    slower = [one for one in results if one.growth < 1]
    rows.append(_row("other processes under 1 reserve per observation", slower))
    rows.append(_row("a sample with the worker's memory guard", guarded))
    rows.append(_row("those that ran out, with the memory guard", again))
    rows.append(_row("a sample with a fixed count, as set by hand", fixed))
    foreseeable = [one for one in results if one.surge < 1]
    return Report(
        part="headroom",
        title=(
            f"the planner on {len(results)} simulated GPUs of {observations} observations each, "
            f"seeds {results[0].seed} to {results[-1].seed}"
        ),
        method=(
            "Seeded random traces: other processes that come and go, pages larger than all before, "
            "noise and delay in what is observed, starts of 5 to 30 s, retirements, crashes.",
            "Surge: the most that other processes grew within one reaction (observation interval, "
            "delay and retirement) plus what larger pages took in one interval, in reserves.",
            "The oracle knows the future, keeps the reserve, and needs no second observation, no "
            "retirement and no cool-down.",
            "The planner is alone, except where the memory guard is named: that is the worker's "
            "own code, with an observation a second.",
            "A reversal is hurried when it comes within a cool-down of the one before. It is "
            "unforced when neither other processes nor the largest page had changed.",
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
                "traces out of memory, other processes under 1 reserve per observation",
                _ran_out(slower),
                0,
                False,
            ),
            Goal("instance-seconds of the oracle's", _share(results), 0.95),
            Goal("hurried reversals", sum(one.hurried for one in results), 0, False),
            Goal("of them unforced", sum(one.unforced for one in results), 0, False),
        ),
        rounds={"outOfMemory": [asdict(one) for one in slower if one.out_of_memory]},
    )


def _row(name: str, results: Sequence[TraceResult]) -> tuple[str, ...]:
    if not results:
        return (name, "0", *["–"] * 6)
    return (
        name,
        str(len(results)),
        f"{_ran_out(results)} ({_ran_out(results) / len(results):.2%})",
        f"{_share(results):.1%}",
        str(sum(one.steps for one in results)),
        str(sum(one.reversals for one in results)),
        str(sum(one.hurried for one in results)),
        str(sum(one.unforced for one in results)),
    )


def _ran_out(results: Sequence[TraceResult]) -> int:
    return sum(one.out_of_memory > 0 for one in results)


def _share(results: Sequence[TraceResult]) -> float:
    best = sum(one.oracle for one in results)
    return sum(one.seconds for one in results) / best if best else 0.0
