"""docs/failure-rules.md: every accepted request is answered exactly once, whatever exits.

100 instances are killed with SIGKILL while they are at work, spread over a run of 500 requests.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.worker.harness import Answer, Worker, start_worker, wait_for

REQUESTS, KILLS, CLIENTS, INSTANCES = 500, 100, 10, 4
EVERY = REQUESTS // KILLS
# Clients may be so many requests ahead of the killer.
AHEAD = 20


class Run:
    """The clients and the killer; each waits for the other, so that the kills are spread evenly."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._numbers = itertools.count()
        self._begun = 0
        self._turn = threading.Condition()
        self.victims: list[int] = []
        self.answers: list[tuple[int, Answer]] = []

    def client(self) -> None:
        """Send requests until there are none left. Raises where one is not answered."""
        for number in self._numbers:
            if number >= REQUESTS:
                return
            with self._turn:
                allowed = self._turn.wait_for(
                    lambda: self._begun < EVERY * len(self.victims) + AHEAD, timeout=60
                )
                assert allowed, "the killer found nobody to kill"
                self._begun += 1
                self._turn.notify_all()
            answer = self._worker.read(say=f"page {number}", sleep=0.03)
            self.answers.append((number, answer))

    def killer(self) -> None:
        """Kill a random instance at work for every few requests."""
        dice = random.Random(REQUESTS)
        while len(self.victims) < KILLS:
            with self._turn:
                assert self._turn.wait_for(
                    lambda: self._begun >= EVERY * len(self.victims), timeout=60
                ), "the clients stand still"
            victim = dice.choice(wait_for("an instance is at work", self._at_work))
            os.kill(victim, signal.SIGKILL)
            with self._turn:
                self.victims.append(victim)
                self._turn.notify_all()

    def _at_work(self) -> list[int]:
        # Only those that have answered before: others come back with a growing delay.
        each: list[dict[str, Any]] = self._worker.state()["instances"]["each"]
        busy = [one["pid"] for one in each if one["state"] == "busy" and one["requests"]]
        return [pid for pid in busy if pid not in self.victims]


@pytest.mark.timeout(300)  # 100 boots, on however busy a machine
def test_500_requests_get_500_answers_while_100_instances_are_killed(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=INSTANCES) as worker:
        run = Run(worker)
        with ThreadPoolExecutor(CLIENTS + 1) as threads:
            jobs = [threads.submit(run.client) for _ in range(CLIENTS)]
            jobs.append(threads.submit(run.killer))
            for job in jobs:
                job.result()

        assert len(run.victims) == len(set(run.victims)) == KILLS
        assert sorted(number for number, _ in run.answers) == list(range(REQUESTS))
        sent_away = 0
        for number, answer in run.answers:
            if answer.status == 200:
                assert answer.text == f"page {number}", "mixed up"
            else:  # two of its instances were killed; it is not the cause
                assert (answer.status, answer.reason) == (503, "Unavailable"), answer
                assert int(answer.headers["Retry-After"]) > 0
                sent_away += 1
        for number, answer in run.answers:
            if answer.status != 200:
                assert worker.read(say=f"page {number}", sleep=0.03).text == f"page {number}"

        worker.until_ready(INSTANCES)
        counters = worker.counters()
        print(f"\n{Counter(answer.status for _, answer in run.answers)}, {counters}")
        assert counters["requests"] == REQUESTS + sent_away
        assert counters["answered"] == REQUESTS
        assert counters["failed"] == sent_away
        assert counters["poisoned"] == counters["refused"] == 0, "a page was refused"
        assert counters["deaths"] == KILLS
        # Each kill hit a page on its first or its second try, or came when it was just done.
        assert counters["retried"] + sent_away <= KILLS
        assert counters["retried"] > KILLS // 2, "the kills hit hardly any page"
