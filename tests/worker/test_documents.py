"""Pages of a document spread over the instances, come back in order, and let others through."""

from __future__ import annotations

import json
import os
import signal
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fake_engine import order_png, pdf_of, tiff_of
from tests.worker.harness import start_worker

Make = Callable[[Sequence[Mapping[str, Any]]], bytes]
BOTH = pytest.mark.parametrize("make", [pdf_of, tiff_of], ids=["PDF", "TIFF"])


@BOTH
def test_pages_spread_over_the_instances_and_come_back_in_order(tmp_path: Path, make: Make) -> None:
    with start_worker(tmp_path, instances=3) as worker:
        # Early pages take longest, so they finish last.
        pages = [{"say": f"page {n}", "sleep": 0.1 - n / 200} for n in range(15)]
        answer = worker.post(make(pages))
        assert answer.pages == [page["say"] for page in pages]
        assert set(answer.pids) == set(worker.pids())
        state = worker.state()
        assert (state["counters"]["pages"], state["counters"]["answered"]) == (15, 1)
        assert all(one["requests"] for one in state["instances"]["each"])


def test_paddlex_gets_them_in_order_too(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=2) as worker:
        pages = [{"say": f"page {n}", "sleep": 0.04 - n / 150} for n in range(6)]
        body = {"file": b64encode(pdf_of(pages)).decode(), "fileType": 0, "visualize": False}
        answer = worker.post(json.dumps(body).encode(), "/ocr")
        assert answer.status == 200, answer
        results = answer.json["result"]["ocrResults"]
        texts = [result["prunedResult"]["rec_texts"][0] for result in results]
        assert texts == [page["say"] for page in pages]
        assert answer.json["result"]["dataInfo"]["numPages"] == 6


@pytest.mark.parametrize("instances", [1, 2])
def test_a_single_page_gets_through_while_a_long_document_is_read(
    tmp_path: Path, instances: int
) -> None:
    trace = tmp_path / "trace"
    settings = {"engine": {"options": {"trace": str(trace)}}}
    with start_worker(tmp_path, instances=instances, settings=settings) as worker:
        document = worker.begin(pdf_of([{"say": f"page {n}", "sleep": 0.03} for n in range(60)]))
        worker.until("it is being read", lambda state: state["counters"]["pages"] >= 2)
        assert worker.post(order_png(say="single")).text == "single"
        assert document.result().pages == [f"page {n}" for n in range(60)]
        order = [line.split(" ", 1)[1] for line in trace.read_text().splitlines()]
        assert order.index("single") < 50, "the single page waited for the whole document"


def test_two_documents_take_turns(tmp_path: Path) -> None:
    trace, gate = tmp_path / "trace", tmp_path / "gate"
    settings = {"engine": {"options": {"trace": str(trace)}}}
    with start_worker(tmp_path, settings=settings) as worker:
        first = worker.begin(tiff_of([{"say": f"a{n}", "gate": str(gate)} for n in range(9)]))
        worker.until_busy()
        second = worker.begin(tiff_of([{"say": f"b{n}"} for n in range(3)]))
        worker.until("both wait", lambda state: state["queue"]["depth"] == 2)
        gate.touch()
        assert first.result().pages == [f"a{n}" for n in range(9)]
        assert second.result().pages == [f"b{n}" for n in range(3)]
        order = [line.split()[1] for line in trace.read_text().splitlines()]
        # The documents take turns, so the last page of b comes well before the last page of a.
        begin = order.index("b0")
        assert [name[0] for name in order[begin : begin + 5]] == list("babab")
        assert order.index("b2") < order.index("a8")


def test_a_tiff_of_one_frame_is_an_image(tmp_path: Path) -> None:
    with start_worker(tmp_path) as worker:
        assert worker.post(tiff_of([{"say": "alone"}])).text == "alone"
        body = {"file": b64encode(tiff_of([{"say": "alone"}])).decode(), "visualize": False}
        answer = worker.post(json.dumps(body).encode(), "/ocr")
        assert answer.json["result"]["dataInfo"]["type"] == "image"


@BOTH
def test_a_page_that_kills_two_makes_the_document_422_and_is_named(
    tmp_path: Path, make: Make
) -> None:
    pages: list[dict[str, Any]] = [{"say": f"page {n}"} for n in range(5)]
    pages[2]["signal"] = "SIGABRT"
    with start_worker(tmp_path, instances=3) as worker:
        answer = worker.post(make(pages))
        assert (answer.status, answer.reason) == (422, "PoisonPage"), answer
        assert answer.message.startswith("page 3: ")
        worker.until_ready(3)
        counters = worker.counters()
        assert (counters["deaths"], counters["poisoned"]) == (2, 1)
        assert worker.post(make(pages)).reason == "PoisonPage"
        assert worker.counters()["deaths"] == 2
        del pages[2]["signal"]
        assert worker.post(make(pages)).pages == [f"page {n}" for n in range(5)]


@BOTH
def test_a_page_whose_instance_dies_once_costs_the_document_nothing(
    tmp_path: Path, make: Make
) -> None:
    pages: list[dict[str, Any]] = [{"say": f"page {n}", "sleep": 0.01} for n in range(8)]
    for number in (0, 5):
        pages[number] |= {"signal": "SIGSEGV", "once": str(tmp_path / f"flag {number}")}
    with start_worker(tmp_path, instances=2) as worker:
        assert worker.post(make(pages)).pages == [f"page {n}" for n in range(8)]
        assert worker.counters()["retried"] == 2


def test_an_engine_error_on_a_page_is_named(tmp_path: Path) -> None:
    with start_worker(tmp_path) as worker:
        pages = [{"say": "fine"}, {"say": "odd", "raise": "ValueError:odd"}]
        answer = worker.post(pdf_of(pages))
        assert (answer.status, answer.reason) == (422, "EngineFailure"), answer
        assert answer.message.startswith("page 2: ")


def test_a_death_while_the_pages_are_counted_costs_the_document_nothing(tmp_path: Path) -> None:
    with start_worker(tmp_path) as worker:
        (pid,) = worker.pids()
        os.kill(pid, signal.SIGSTOP)  # so that it is caught at it
        document = worker.begin(pdf_of([{"say": "first"}, {"say": "second"}]))
        worker.until_busy()
        os.kill(pid, signal.SIGKILL)
        assert document.result().pages == ["first", "second"]
        assert worker.counters()["retried"] == 1


def test_counting_pages_has_a_time_limit(tmp_path: Path) -> None:
    with start_worker(tmp_path, settings={"admission": {"timeoutSeconds": 0.7}}) as worker:
        (pid,) = worker.pids()
        os.kill(pid, signal.SIGSTOP)
        assert worker.post(pdf_of([{"say": "first"}])).status == 504
        worker.until("a new one is warm", lambda state: state["counters"]["boots"] == 2)
        assert worker.read(say="next").pids != [pid]
