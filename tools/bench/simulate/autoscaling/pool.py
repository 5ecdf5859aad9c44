"""A simulated pool. Requests wait in one queue, as behind a proxy that knows which worker is free,
and take turns page by page, as they do in a worker.

A new worker gets its node some minutes later and is paid for from then on. It starts one instance
after the other. A worker that is removed ends its pages first, and is paid for until then.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from ocrpool.planner.workers.load import WorkerLoad
from tools.bench.simulate.autoscaling.days import MINUTES, Day

QUEUE = 64  # requests that may wait for each worker, the default of admission.queue
TARGET = 2.0  # seconds, the default of autoscaling.targetQueueSeconds


@dataclass(slots=True)
class SimulatedWorker:
    """`free`: for each instance, the time at which its page ends."""

    number: int
    paid_from: float
    ready: list[float]
    free: list[float] = field(default_factory=list)
    work: float = 0.0
    pages: int = 0
    removed_at: float | None = None

    def count(self, now: float) -> int:
        """Warm instances."""
        return sum(one <= now for one in self.ready)


class SimulatedPool:
    """Runs one day, from one observation to the next."""

    def __init__(self, day: Day, workers: int) -> None:
        self.day = day
        self.now = 0.0
        self.workers: list[SimulatedWorker] = []
        self.removed: list[SimulatedWorker] = []
        self.waits: list[float] = [math.inf] * len(day.at)
        self.refused = 0
        self._dice = random.Random(day.seed)
        self._numbers = 0
        self._next = 0
        # Requests that wait: number, next page, end of its pages.
        self._queue: deque[tuple[int, int, int]] = deque()
        self._waiting = self._answered = 0
        self._idle: list[tuple[float, int, int]] = []
        self._by_number: dict[int, SimulatedWorker] = {}
        self._at, self._takes = day.at.tolist(), day.takes.tolist()
        self._first = day.first.tolist()
        for _ in range(workers):
            self._add(node=-self.day.full)

    # -- what a policy observes and does -----------------------------------------------------

    def figures(self) -> tuple[WorkerLoad, ...]:
        """The load of every worker. Waiting and refused requests are reported for the first one."""
        found: list[WorkerLoad] = []
        for each in self.workers:
            count = each.count(self.now)
            left = sum(max(0.0, one - self.now) for one in each.free)
            first = not found
            found.append(
                WorkerLoad(
                    name=str(each.number),
                    serving=count > 0,
                    instances=count,
                    growth=len(each.ready) - count,
                    work=each.work - left,
                    pages=each.pages,
                    answered=self._answered if first else 0,
                    refused=self.refused if first else 0,
                    waiting=self._waiting if first else 0,
                    age=self.now - each.paid_from,
                )
            )
        return tuple(found)

    def set_workers(self, count: int) -> None:
        """Add or remove workers. Those without a node are removed first, then those that start,
        then the newest."""
        while len(self.workers) < count:
            self._add(self.now + self._dice.uniform(*self.day.node))
        while len(self.workers) > count:
            worst = max(self.workers, key=lambda one: (one.ready[0], one.number))
            self.workers.remove(worst)
            worst.removed_at = self.now
            self.removed.append(worst)
            del self._by_number[worst.number]

    @property
    def ready(self) -> int:
        return sum(one.ready[0] <= self.now for one in self.workers)

    def paid(self) -> float:
        """GPU seconds that were paid for."""
        total = sum(max(0.0, self.now - one.paid_from) for one in self.workers)
        for one in self.removed:
            assert one.removed_at is not None
            end = max([one.removed_at, *(free for free in one.free if free > one.ready[0])])
            total += max(0.0, end - max(0.0, one.paid_from))
        return total - sum(max(0.0, -one.paid_from) for one in self.workers)

    # -- time --------------------------------------------------------------------------------

    def run_until(self, end: float) -> None:
        """Let requests arrive, wait and be read until `end`."""
        at, queue = self._at, self._queue
        limit = QUEUE * max(1, self.ready)
        while self._next < len(at) and at[self._next] < end:
            moment = at[self._next]
            self._serve(moment)
            if len(queue) >= limit:
                self.refused += 1
            else:
                begin, stop = self._first[self._next], self._first[self._next + 1]
                queue.append((self._next, begin, stop))
                self._waiting += stop - begin
            self._next += 1
        self._serve(end)
        self.now = end

    def _serve(self, until: float) -> None:
        queue, idle, at = self._queue, self._idle, self._at
        while queue and idle:
            free, number, place = idle[0]
            request, page, stop = queue[0]
            start = free if free > at[request] else at[request]
            if start >= until:
                return
            worker = self._by_number.get(number)
            if worker is None:
                heapq.heappop(idle)
                continue
            queue.popleft()
            self._waiting -= 1
            if self.waits[request] == math.inf:
                self.waits[request] = start - at[request]
            if page + 1 < stop:
                queue.append((request, page + 1, stop))
            else:
                self._answered += 1
            end = start + self._takes[page]
            worker.free[place] = end
            worker.work += self._takes[page]
            worker.pages += 1
            heapq.heapreplace(idle, (end, number, place))

    def _add(self, node: float) -> None:
        self._numbers += 1
        day = self.day
        ready = [node + day.startup + day.fill * place for place in range(day.slots)]
        worker = SimulatedWorker(self._numbers, node, ready, list(ready))
        worker.free = [-math.inf] * day.slots
        self.workers.append(worker)
        self._by_number[worker.number] = worker
        for place, moment in enumerate(ready):
            heapq.heappush(self._idle, (moment, worker.number, place))


def slow_minutes(day: Day, waits: list[float]) -> float:
    """The share of the day's minutes in which more than 5 % of the requests that came waited longer
    for their first page than the target, or were refused."""
    minute = np.minimum((day.at / 60).astype(int), MINUTES - 1)
    came = np.bincount(minute, minlength=MINUTES)
    late = np.bincount(minute, weights=np.array(waits) > TARGET, minlength=MINUTES)
    return float((late > 0.05 * came).mean())
