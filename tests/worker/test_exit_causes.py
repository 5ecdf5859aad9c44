"""docs/failure-rules.md: the cause of an instance's exit decides what happens to its page."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.fake_engine import order_png
from tests.worker.client import Answer, pids_of
from tests.worker.harness import Worker, start_worker, wait_for

OUTSIDE = [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]


def events_named(worker: Worker, event: str) -> list[dict[str, Any]]:
    return [one for one in worker.events() if one.get("event") == event]


def kill_who_has_begun(worker: Worker, trace: Path, number: signal.Signals, tries: int) -> None:
    """Wait until the page was begun for the `tries`-th time, and end its instance."""

    def began() -> list[str]:
        lines = trace.read_text().splitlines() if trace.exists() else []
        return lines if len(lines) == tries else []

    line = wait_for(f"try {tries} has begun", began)[-1]
    os.kill(int(line.split()[0]), number)


@pytest.mark.parametrize("number", OUTSIDE, ids=lambda one: one.name)
def test_a_page_whose_instances_other_processes_kill_is_not_refused(
    tmp_path: Path, number: signal.Signals
) -> None:
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    settings = {"engine": {"options": {"trace": str(trace)}}}
    page = order_png(say="page", gate=str(gate))
    with start_worker(tmp_path, instances=2, settings=settings) as worker:
        answer = worker.begin(page)
        for tries in (1, 2):
            kill_who_has_begun(worker, trace, number, tries)
        refused = answer.result()
        assert (refused.status, refused.reason) == (503, "Unavailable"), refused
        assert number.name in refused.message
        assert int(refused.headers["Retry-After"]) > 0
        gate.touch()
        assert worker.post(page).text == "page", "it was remembered"
        counters = worker.counters()
        assert (counters["poisoned"], counters["refused"], counters["killed"]) == (0, 0, 2)
        assert counters["retried"] == 1
        whys = [event["why"] for event in events_named(worker, "instance died")]
        assert len(whys) == 2
        assert all(why.startswith(f"killed by {number.name} from outside") for why in whys), whys


def test_a_kill_by_another_process_is_not_one_of_the_two_faults(tmp_path: Path) -> None:
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    settings = {"engine": {"options": {"trace": str(trace)}}}
    with start_worker(tmp_path, instances=2, settings=settings) as worker:
        answer = worker.begin(say="poison", gate=str(gate), signal="SIGSEGV")
        kill_who_has_begun(worker, trace, signal.SIGKILL, 1)
        gate.touch()
        assert answer.result().reason == "PoisonPage"
        assert trace.read_text().count("poison") == 3
        assert worker.counters()["killed"] == 1


def test_a_refused_request_does_not_refuse_the_same_file_with_other_parameters(
    tmp_path: Path,
) -> None:
    trace = tmp_path / "trace"
    settings = {"engine": {"options": {"trace": str(trace)}}}
    file = order_png(say="shared", asked="text_det_thresh", signal="SIGSEGV")

    def post(query: str = "") -> Answer:
        return worker.post(file, f"/v1/ocr{query}")

    with start_worker(tmp_path, instances=2, settings=settings) as worker:
        assert post("?textDetThresh=0.4").reason == "PoisonPage"
        tries = trace.read_text().count("shared")
        assert tries == 2
        assert post("?textDetThresh=0.4").reason == "PoisonPage"
        assert trace.read_text().count("shared") == tries, "it was not remembered"
        assert post().text == "shared"
        assert worker.counters()["refused"] == 1
        (refused,) = events_named(worker, "request refused from now on")
        assert len(refused["digest"]) == 32


def test_startups_continue_when_other_processes_kill_starting_instances(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    settings = {"engine": {"options": {"boot": {"gate": str(gate)}}}}
    with start_worker(tmp_path, settings=settings) as worker:
        gate.unlink()
        os.kill(worker.pids()[0], signal.SIGKILL)
        for number in range(1, 5):
            state = worker.until("one boots", lambda state: bool(pids_of(state, "booting")))
            os.kill(pids_of(state, "booting")[0], signal.SIGKILL)
            worker.until(
                f"boot {number} has failed",
                lambda state, number=number: state["counters"]["bootFailures"] == number,
            )
        problem = worker.state()["problem"]
        assert problem["reason"] == "Restarting"
        assert "killed by SIGKILL from outside" in problem["message"]
        gate.touch()
        assert worker.read(say="goes on").text == "goes on"


def test_the_log_says_why_the_worker_killed_an_instance(tmp_path: Path) -> None:
    settings = {"admission": {"timeoutSeconds": 1}}
    with start_worker(tmp_path, settings=settings) as worker:
        assert worker.read(say="hangs", sleep=60).status == 504
        state = worker.until("it is replaced", lambda state: state["counters"]["boots"] == 2)
        assert (state["counters"]["deaths"], state["counters"]["killed"]) == (1, 0)
        (gone,) = events_named(worker, "instance gone")
        assert gone["cause"] == "worker"
        assert (
            gone["why"] == "killed by the worker: no answer within 1 s (admission.timeoutSeconds)"
        )
        assert "perhaps" not in worker.log_file.read_text()


def test_the_log_says_that_an_instance_sent_invalid_bytes(tmp_path: Path) -> None:
    """An instance that writes invalid bytes to its socket is killed."""
    flag = str(tmp_path / "flag")
    with start_worker(tmp_path, instances=2) as worker:
        answer = worker.read(say="second try", once=flag, garbage="\xff" * 64)
        assert answer.text == "second try"
        worker.until("it died", lambda state: state["counters"]["deaths"] == 1)
        (died,) = events_named(worker, "instance died")
        assert died["why"].startswith("killed by the worker: it sent a frame of "), died


@pytest.mark.parametrize("instances", [1, 2])
def test_the_log_says_why_an_instance_was_recycled(tmp_path: Path, instances: int) -> None:
    settings = {"engine": {"name": "noop"}, "recycle": {"afterRequests": 2}}
    with start_worker(tmp_path, instances=instances, settings=settings) as worker:
        for _ in range(2 * instances):
            assert worker.post(order_png(say="x")).status == 200
        worker.until("all are replaced", lambda state: state["counters"]["boots"] == 2 * instances)
        wait_for("they are gone", lambda: len(events_named(worker, "instance gone")) == instances)
        for gone in events_named(worker, "instance gone"):
            assert gone["why"].endswith("it answered 2 pages (recycle.afterRequests 2)"), gone
            assert gone["cause"] == "asked"
