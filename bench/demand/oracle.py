"""Knows the whole day, page by page, and orders ahead: what is ordered is there when it is needed.

Minute by minute it has the fewest full workers with which 95 % of the minute's pages wait no longer
than the target, given what earlier minutes left. It waits for no node, since it asked for it in
time; it pays for boots like everybody, and keeps a worker through a gap shorter than a boot.
"""

from __future__ import annotations

import heapq
import itertools
import math

import numpy as np

from bench.demand.days import MINUTES, Day
from bench.demand.pool import TARGET


def workers_by_minute(day: Day) -> list[int]:
    """Full workers in each minute."""
    bounds = np.searchsorted(day.at, np.arange(MINUTES + 1) * 60.0)
    at, takes = day.at.tolist(), day.takes.tolist()
    free = [0.0] * day.slots
    counts: list[int] = []
    for minute in range(MINUTES):
        first, last = int(bounds[minute]), int(bounds[minute + 1])
        begin = minute * 60.0
        count = max(1, (counts[-1] if counts else 1) - 2)
        while True:
            trial = _resized(free, count * day.slots, begin)
            late = _run(trial, at, takes, first, last)
            if late <= 0.05 * (last - first) or count >= day.maximum:
                break
            count += 1
        free = trial
        counts.append(count)
    return _bridged(counts, math.ceil(day.full / 60))


def seconds(day: Day, counts: list[int]) -> float:
    """Seconds of GPUs that it pays for, boots included."""
    ups = sum(max(0, after - before) for before, after in itertools.pairwise(counts))
    return sum(counts) * 60 + ups * day.full


def _resized(free: list[float], count: int, begin: float) -> list[float]:
    """With another number of instances; those that are free first go first."""
    kept = heapq.nlargest(count, free)
    kept += [begin] * (count - len(kept))
    heapq.heapify(kept)
    return kept


def _run(free: list[float], at: list[float], takes: list[float], first: int, last: int) -> int:
    """Read these pages; answers how many waited too long."""
    late = 0
    for page in range(first, last):
        moment = at[page]
        start = free[0] if free[0] > moment else moment
        late += start - moment > TARGET
        heapq.heapreplace(free, start + takes[page])
    return late


def _bridged(counts: list[int], gap: int) -> list[int]:
    """Gaps up to `gap` minutes filled, level by level."""
    found = list(counts)
    for level in range(1, max(counts) + 1):
        last: int | None = None
        for minute, count in enumerate(counts):
            if count < level:
                continue
            if last is not None and 1 < minute - last <= gap + 1:
                for between in range(last + 1, minute):
                    found[between] = max(found[between], level)
            last = minute
    return found
