"""The number of instances changes at run time, up and down, and no request is lost."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.worker.harness import Answer, Worker, pids_of, start_worker


@contextlib.contextmanager
def under_load(worker: Worker, clients: int = 6) -> Iterator[list[tuple[str, Answer]]]:
    """Clients that send one page after the other; gives what was sent and what came back."""
    answers: list[tuple[str, Answer]] = []
    numbers, over = itertools.count(), threading.Event()

    def client() -> None:
        while not over.is_set():
            text = f"page {next(numbers)}"
            answers.append((text, worker.read(say=text, sleep=0.02)))

    with ThreadPoolExecutor(clients) as threads:
        jobs = [threads.submit(client) for _ in range(clients)]
        try:
            yield answers
        finally:
            over.set()
        for job in jobs:
            job.result()


def test_no_request_is_lost_while_instances_come_and_go(tmp_path: Path) -> None:
    booting: list[int] = []
    with start_worker(tmp_path) as worker:
        with under_load(worker) as answers:
            for target in (4, 2, 3, 1):
                answer = worker.set_target(target)
                assert (answer.status, answer.json["instances"]["target"]) == (200, target)

                def there(state: dict[str, Any], target: int = target) -> bool:
                    booting.append(len(pids_of(state, "booting")))
                    return len(pids_of(state)) == len(pids_of(state, "idle", "busy")) == target

                worker.until(f"{target} instances are there", there)
        assert len(answers) > 20
        wrong = [(text, got) for text, got in answers if got.status != 200 or got.text != text]
        assert not wrong
        counters = worker.counters()
        assert counters["answered"] == counters["requests"] == len(answers)
        assert (counters["deaths"], counters["retried"], counters["boots"]) == (0, 0, 5)
    assert max(booting) == 1, "two instances booted at a time"


def test_the_longest_idle_instance_gets_the_next_page(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path, instances=3) as worker:
        long = worker.begin(say="long", gate=str(gate))
        (blocked,) = pids_of(worker.until_busy(), "busy")
        free = set(worker.pids()) - {blocked}
        turns = [worker.read(say=str(number)).pids[0] for number in range(6)]
        assert set(turns) == free
        assert turns[0::2] == [turns[0]] * 3, "they did not take turns"
        with ThreadPoolExecutor(8) as threads:
            for answer in threads.map(lambda n: worker.read(say=str(n), sleep=0.01), range(40)):
                assert answer.pids[0] in free
        assert not long.done()
        gate.touch()
        assert long.result().pids == [blocked]


def test_a_retired_instance_finishes_its_page(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path, instances=2) as worker:
        pages = [worker.begin(say=str(number), gate=str(gate)) for number in range(2)]
        worker.until_busy(2)
        state = worker.set_target(1).json
        assert sorted(one["state"] for one in state["instances"]["each"]) == ["busy", "retiring"]
        gate.touch()
        assert [page.result().text for page in pages] == ["0", "1"]
        worker.until_ready(1)
        assert worker.counters()["deaths"] == 0


def test_a_startup_that_is_not_needed_any_more_is_cancelled(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    boot = {"gate": str(gate)}
    with start_worker(tmp_path, settings={"engine": {"options": {"boot": boot}}}) as worker:
        gate.unlink()
        (pid,) = worker.pids()
        worker.set_target(2)
        worker.until("one boots", lambda state: bool(pids_of(state, "booting")))
        worker.set_target(1)
        state = worker.until_ready(1)
        assert pids_of(state) == [pid]
        assert state["counters"]["bootFailures"] == 0
        assert state["problem"] is None
        assert worker.read(say="read").text == "read"


def test_a_target_of_0_is_503_until_the_next_target(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=2) as worker:
        assert worker.set_target(0).status == 200
        worker.until("all have gone", lambda state: not state["instances"]["each"])
        answer = worker.read(say="nobody")
        assert (answer.status, answer.reason) == (503, "Unavailable"), answer
        assert "0 instances" in answer.message
        assert not worker.ready
        worker.set_target(1)
        worker.until_ready(1)
        assert worker.read(say="somebody").text == "somebody"


def test_requests_that_wait_when_the_last_instance_is_retired_are_answered(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path) as worker:
        running = worker.begin(say="running", gate=str(gate))
        worker.until_busy()
        waiting = worker.begin(say="waiting")
        worker.until("one waits", lambda state: state["queue"]["depth"] == 1)
        worker.set_target(0)
        answer = waiting.result()  # at once: no instance will read it
        assert (answer.status, answer.reason) == (503, "Unavailable")
        gate.touch()
        assert running.result().text == "running"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"target": 5}, "instances.max"),
        ({"target": -1}, "target"),
        ({"target": "2"}, "target"),
        ({"target": 1.5}, "target"),
        ({"target": True}, "target"),
        ({}, "target"),
        ({"target": 2, "more": 1}, "more"),
        ([], "target"),
    ],
    ids=str,
)
def test_an_invalid_target_is_422_and_changes_nothing(
    worker: Worker, body: object, message: str
) -> None:
    answer = worker.control("PUT", "/v1/instances", body)
    assert (answer.status, answer.reason) == (422, "BadRequest"), answer
    assert message in answer.message
    if body == {"target": 5}:
        assert "0 to 4" in answer.message
    assert worker.state()["instances"]["target"] == 1


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with start_worker(tmp_path_factory.mktemp("worker")) as worker:
        yield worker
