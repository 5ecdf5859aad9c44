"""docs/failure-rules.md: no answer within `timeoutSeconds` is 504; a hung instance is replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fake_engine import pdf_of
from tests.worker.harness import start_worker


def limited(seconds: float, **more: float) -> dict[str, Any]:
    return {"admission": {"timeoutSeconds": seconds, **more}}


@pytest.mark.parametrize(
    "order",
    [{"sleep": 60}, {"native": 60}, {"stop": True}],
    ids=["hangs", "hangs in native code", "SIGSTOP"],
)
def test_a_page_on_a_hanging_instance_is_504_and_the_instance_is_replaced(
    tmp_path: Path, order: dict[str, Any]
) -> None:
    with start_worker(tmp_path, instances=2, settings=limited(1)) as worker:
        before = set(worker.pids())
        answer = worker.read(say="never", **order)
        assert (answer.status, answer.reason) == (504, "TimedOut"), answer
        assert "1 s (admission.timeoutSeconds)" in answer.message
        assert worker.read(say="meanwhile").text == "meanwhile"
        worker.until("one was replaced", lambda state: state["counters"]["deaths"] == 1)
        state = worker.until_ready(2)
        after = {one["pid"] for one in state["instances"]["each"]}
        assert len(before & after) == 1
        counters = worker.counters()
        assert (counters["timeouts"], counters["failed"], counters["retried"]) == (1, 1, 0)
        # The second that it cost is in the sum by which workers are added: it never falls.
        assert counters["pageSeconds"] >= 1


def test_a_request_that_expires_in_the_queue_is_504_and_costs_no_instance(tmp_path: Path) -> None:
    with start_worker(tmp_path, settings=limited(2)) as worker:
        (pid,) = worker.pids()
        first = worker.begin(say="first", sleep=1.3)
        worker.until_busy()
        second = worker.begin(say="second", sleep=1.3)
        worker.until("the second waits", lambda state: state["queue"]["depth"] == 1)
        third = worker.begin(say="third")
        assert first.result().pids == [pid]
        # Its time was over while it was read, after a long wait: not the instance's fault either.
        assert second.result().status == 504
        answer = third.result()
        assert (answer.status, answer.reason) == (504, "TimedOut"), answer
        assert "in the queue" in answer.message
        assert worker.read(say="next").pids == [pid]
        assert worker.counters()["deaths"] == 0
        assert worker.counters()["timeouts"] == 2


def test_a_long_document_that_makes_progress_does_not_expire(tmp_path: Path) -> None:
    with start_worker(tmp_path, settings=limited(1)) as worker:
        (pid,) = worker.pids()
        pages = [{"say": str(number), "sleep": 0.25} for number in range(8)]
        answer = worker.post(pdf_of(pages))
        assert answer.pages == [str(number) for number in range(8)]
        assert set(answer.pids) == {pid}


def test_a_hanging_page_of_a_document_is_named(tmp_path: Path) -> None:
    with start_worker(tmp_path, settings=limited(1)) as worker:
        answer = worker.post(pdf_of([{"say": "fine"}, {"say": "hangs", "sleep": 60}]))
        assert (answer.status, answer.reason) == (504, "TimedOut"), answer
        worker.until("a new one is warm", lambda state: state["counters"]["boots"] == 2)
        assert worker.read(say="next").text == "next"


def test_a_page_that_makes_progress_may_take_longer(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=2, settings=limited(2)) as worker:
        alone = worker.begin(say="long", steps=50)
        answer = worker.post(pdf_of([{"say": "first"}, {"say": "second", "steps": 50}]))
        assert (answer.status, answer.pages) == (200, ["first", "second"]), answer
        answer = alone.result()
        assert (answer.status, answer.text) == (200, "long"), answer
        assert (worker.counters()["deaths"], worker.counters()["timeouts"]) == (0, 0)


def test_a_page_that_makes_progress_and_then_hangs_is_504(tmp_path: Path) -> None:
    with start_worker(tmp_path, settings=limited(2)) as worker:
        answer = worker.read(say="hangs", steps=30, native=60)
        assert (answer.status, answer.reason) == (504, "TimedOut"), answer
        assert "2 s (admission.timeoutSeconds)" in answer.message
        worker.until("a new one is warm", lambda state: state["counters"]["boots"] == 2)
        assert worker.read(say="next").text == "next"


def test_a_page_that_makes_progress_without_end_is_504(tmp_path: Path) -> None:
    with start_worker(tmp_path, settings=limited(2, pageSeconds=4)) as worker:
        answer = worker.post(pdf_of([{"say": "fine"}, {"say": "endless", "steps": 600}]))
        assert (answer.status, answer.reason) == (504, "TimedOut"), answer
        assert "page 2: no answer within 4 s (admission.pageSeconds)" in answer.message
        worker.until("a new one is warm", lambda state: state["counters"]["boots"] == 2)
        assert worker.counters()["timeouts"] == 1
        assert worker.read(say="next").text == "next"
