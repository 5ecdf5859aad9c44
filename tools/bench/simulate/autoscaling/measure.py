"""Days of every kind under every policy, as one report with goals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from tools.bench.lib.report import Goal, Report
from tools.bench.simulate.autoscaling import oracle
from tools.bench.simulate.autoscaling.days import KINDS, Day, make_day
from tools.bench.simulate.autoscaling.policies import (
    Decider,
    FixedReplicas,
    Hindsight,
    PlannerPolicy,
    UtilisationHpa,
)
from tools.bench.simulate.autoscaling.simulation import DayResult, simulate_day

# The constants of the planner were chosen on seeds from 1000 on; these seeds were not used then.
FIRST_SEED = 0
PLANNER, FIXED = "the planner", "fixed at the peak"
HPA, HINDSIGHT = "HPA on GPU utilisation", "no foresight, perfect knowledge of now"
BEST = "oracle"


def measure(seeds: int, say: Callable[[str], None], kinds: Sequence[str] = KINDS) -> Report:
    results: list[DayResult] = []
    for kind in kinds:
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            results += one_day(make_day(kind, seed))
            say(f"{kind}, seed {seed}: {len(results)} results")
    return report(results, kinds)


def one_day(day: Day) -> list[DayResult]:
    """The results of every policy on the same day, the oracle first."""
    counts = oracle.workers_by_minute(day)
    best = DayResult(
        day.kind, day.seed, BEST, oracle.seconds(day, counts) / 3600, 0.0, 0.0, 0, 0, len(day.at)
    )
    policies: dict[str, Decider] = {
        PLANNER: PlannerPolicy(day.maximum),
        HINDSIGHT: Hindsight(counts),
        HPA: UtilisationHpa(day.maximum),
        FIXED: FixedReplicas(max(counts)),
    }
    return [
        best,
        *(
            simulate_day(day, name, policy, max(counts) if name == FIXED else counts[0])
            for name, policy in policies.items()
        ),
    ]


def report(results: Sequence[DayResult], kinds: Sequence[str]) -> Report:
    rows = []
    for kind in kinds:
        for policy in (PLANNER, HINDSIGHT, HPA, FIXED):
            rows.append(_row(results, kind, policy))
    seeds = len({one.seed for one in results})
    goals = []
    for kind in kinds:
        ours = _of(results, kind, PLANNER)
        goals += [
            Goal(f"{kind}: minutes within the target", 1 - _slow(ours), 0.99),
            Goal(f"{kind}: GPU-hours / oracle", _ratio(results, kind, PLANNER, BEST), 1.15, False),
        ]
    if "daily" in kinds:
        share = _ratio(results, "daily", PLANNER, FIXED)
        goals.append(Goal("daily: GPU-hours / fixed at the peak", share, 0.5, False))
    return Report(
        part="autoscaling",
        title=f"workers by load on {seeds} simulated days of each kind",
        method=(
            "Seeded days, page by page: requests of one page or a document, pages of log-normal "
            "size, pools of 2 to 4 instances a worker and 3 to 7 workers at the peak; a node "
            "arrives 90 to 240 s after it is requested, a worker starts in 25 to 50 s and needs "
            "another 12 s for each instance; a queue of 64 a worker, an observation every 5 s, a "
            "target of 2 s.",
            "A minute is within the target when 95 % of its requests waited no longer for their "
            "first page, and no request was refused.",
            "The oracle knows the day and requests nodes ahead, so it never waits for one. It pays "
            "for starts. In each minute it has the fewest workers that keep the target.",
            "Fixed at the peak: the oracle's largest number all day. HPA: 70 % utilisation as NVML "
            "would show it, autoscaling/v2's own defaults.",
        ),
        columns=(
            "day",
            "policy",
            "GPU-hours / oracle",
            "minutes within target",
            "p95 wait",
            "refused",
            "changes a day",
        ),
        rows=tuple(rows),
        goals=tuple(goals),
        rounds={"days": [asdict(one) for one in results]},
    )


def _of(results: Sequence[DayResult], kind: str, policy: str) -> list[DayResult]:
    return [one for one in results if one.kind == kind and one.policy == policy]


def _slow(results: Sequence[DayResult]) -> float:
    return sum(one.slow for one in results) / len(results)


def _ratio(results: Sequence[DayResult], kind: str, policy: str, other: str) -> float:
    mine, theirs = _of(results, kind, policy), _of(results, kind, other)
    return sum(one.hours for one in mine) / sum(one.hours for one in theirs)


def _row(results: Sequence[DayResult], kind: str, policy: str) -> tuple[str, ...]:
    found = _of(results, kind, policy)
    refused = sum(one.refused for one in found)
    requests = sum(one.requests for one in found)
    return (
        kind,
        policy,
        f"{_ratio(results, kind, policy, BEST):.2f}",
        f"{1 - _slow(found):.2%}",
        f"{sum(one.wait for one in found) / len(found):.2f} s",
        f"{refused} ({refused / requests:.2%})",
        f"{sum(one.changes for one in found) / len(found):.0f}",
    )
