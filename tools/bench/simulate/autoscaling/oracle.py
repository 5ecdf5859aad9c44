"""A policy that knows the whole day and requests each node early enough.

In each minute it has the fewest full workers with which 95 % of the requests wait no longer than
the target, given the queue that earlier minutes left. It never waits for a node. It pays for starts
as every policy does, and keeps a worker through a gap that is shorter than a start.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque

import numpy as np

from tools.bench.simulate.autoscaling.days import MINUTES, Day
from tools.bench.simulate.autoscaling.pool import TARGET


def workers_by_minute(day: Day) -> list[int]:
    """Full workers in each minute."""
    bounds = np.searchsorted(day.at, np.arange(MINUTES + 1) * 60.0)
    lists = day.at.tolist(), day.takes.tolist(), day.first.tolist()
    free, counts = [0.0] * day.slots, list[int]()
    queue: list[tuple[int, int, int]] = []
    for minute in range(MINUTES):
        requests = range(int(bounds[minute]), int(bounds[minute + 1]))
        begin = minute * 60.0
        count = max(1, (counts[-1] if counts else 1) - 2)
        while True:
            trial, left = _resize(free, count * day.slots, begin), deque(queue)
            late = _run(trial, left, requests, lists, begin + 60)
            if late <= 0.05 * len(requests) or count >= day.maximum:
                break
            count += 1
        free, queue = trial, list(left)
        counts.append(count)
    return _fill_gaps(counts, math.ceil(day.full / 60))


def seconds(day: Day, counts: list[int]) -> float:
    """GPU seconds that it pays for, starts included."""
    started = sum(max(0, after - before) for before, after in itertools.pairwise(counts))
    return sum(counts) * 60 + started * day.full


def _resize(free: list[float], count: int, begin: float) -> list[float]:
    """The instances after a change of their number; those that are free first are removed first."""
    kept = heapq.nlargest(count, free)
    kept += [begin] * (count - len(kept))
    heapq.heapify(kept)
    return kept


def _run(
    free: list[float],
    queue: deque[tuple[int, int, int]],
    requests: range,
    lists: tuple[list[float], list[float], list[int]],
    end: float,
) -> int:
    """Read until `end`. Returns how many of these requests waited too long for their first page."""
    at, takes, pages = lists
    late, following = 0, requests.start
    while True:
        while following < requests.stop and (not queue or at[following] <= free[0]):
            queue.append((following, pages[following], pages[following + 1]))
            following += 1
        if not queue:
            return late
        request, page, stop = queue[0]
        start = free[0] if free[0] > at[request] else at[request]
        if start >= end:
            # A request that has not begun by then counts by its wait so far.
            waiting = sum(
                page == pages[request] and end - at[request] > TARGET for request, page, _ in queue
            )
            return late + waiting
        queue.popleft()
        late += page == pages[request] and start - at[request] > TARGET
        if page + 1 < stop:
            queue.append((request, page + 1, stop))
        heapq.heapreplace(free, start + takes[page])


def _fill_gaps(counts: list[int], gap: int) -> list[int]:
    """Fill gaps of up to `gap` minutes, level by level."""
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
