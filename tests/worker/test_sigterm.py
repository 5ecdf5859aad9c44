"""DESIGN §8: after SIGTERM what was accepted is finished, new requests are 503, and it ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worker.harness import Answer, Worker, launch, start_worker, wait_for

GRACE = {"http": {"graceSeconds": 15}}


def begin_load(worker: Worker, gate: Path) -> Callable[[], list[str]]:
    """Two pages on the two instances and three that wait; returns what collects their text."""
    pages = [worker.begin(say=str(number), gate=str(gate)) for number in range(5)]
    worker.until(
        "two are read and three wait",
        lambda state: state["queue"]["depth"] == 3 and state["instances"]["ready"] == 2,
    )
    return lambda: [page.result().text for page in pages]


def refused(worker: Worker) -> None:
    """New requests get 503, where it still listens to them."""
    try:
        answer: Answer = worker.read(say="too late")
    except ConnectionError:
        return
    assert (answer.status, answer.reason) == (503, "Unavailable"), answer


@pytest.mark.parametrize(
    ("number", "times"),
    [(signal.SIGTERM, 1), (signal.SIGTERM, 3), (signal.SIGINT, 1)],
    ids=["SIGTERM", "several SIGTERM", "SIGINT"],
)
def test_what_was_accepted_is_finished(tmp_path: Path, number: signal.Signals, times: int) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path, instances=2, settings=GRACE) as worker:
        texts = begin_load(worker, gate)
        for _ in range(times):
            worker.signal(number)
            worker.until("it drains", lambda state: state["draining"])
        probe = worker.control("GET", "/readyz")
        assert (probe.status, probe.body[:8]) == (503, b"Draining"), probe
        refused(worker)
        gate.touch()
        assert sorted(texts()) == ["0", "1", "2", "3", "4"]
        assert worker.ended() == 0


def test_what_dies_while_it_drains_is_still_answered(tmp_path: Path) -> None:
    gate, flag = tmp_path / "gate", str(tmp_path / "flag")
    with start_worker(tmp_path, settings=GRACE) as worker:
        page = worker.begin(say="survives", gate=str(gate), signal="SIGKILL", once=flag)
        worker.until_busy()
        worker.signal(signal.SIGTERM)
        worker.until("it drains", lambda state: state["draining"])
        gate.touch()
        assert page.result().text == "survives"
        assert worker.ended() == 0


def test_it_ends_when_the_grace_is_over(tmp_path: Path) -> None:
    with start_worker(tmp_path, settings={"http": {"graceSeconds": 0.5}}) as worker:
        pages = [worker.begin(say="endless", sleep=60)]
        worker.until_busy()
        pages.append(worker.begin(say="behind it"))
        worker.until("one waits", lambda state: state["queue"]["depth"] == 1)
        began = time.monotonic()
        worker.signal(signal.SIGTERM)
        assert worker.ended() == 0
        assert time.monotonic() - began < 5
        for page in pages:  # answered, not cut off
            answer = page.result()
            assert (answer.status, answer.reason) == (503, "Unavailable"), answer


@pytest.mark.parametrize(("start", "times"), [("exit", 2), ("wait", 1)])
def test_sigterm_while_the_first_instance_boots(tmp_path: Path, start: str, times: int) -> None:
    settings = {"engine": {"options": {"boot": {"native": 60}}}} | GRACE
    arguments = ("--on-failed-start", start)
    with start_worker(tmp_path, *arguments, settings=settings, ready=False) as worker:
        worker.until("one boots", lambda state: bool(state["instances"]["each"]))
        began = time.monotonic()
        for _ in range(times):
            worker.signal(signal.SIGTERM)
        assert worker.ended() == 0
        assert time.monotonic() - began < 5


def test_sigterm_between_failed_boots(tmp_path: Path) -> None:
    settings = {"engine": {"options": {"boot": {"exit": 9}}}}
    worker = launch(tmp_path, settings=settings)
    try:
        wait_for(
            "a boot has failed",
            lambda: any("failed to boot" in event["event"] for event in worker.events()),
        )
        worker.signal(signal.SIGTERM)
        assert worker.ended() == 0
    finally:
        worker.clean_up()


def test_drain_takes_nothing_new_and_finishes_the_rest(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path, instances=2) as worker:
        texts = begin_load(worker, gate)
        answer = worker.control("POST", "/v1/drain")
        assert (answer.status, answer.json["draining"]) == (200, True)
        assert not worker.ready
        late = worker.read(say="too late")
        assert (late.status, late.reason) == (503, "Unavailable"), late
        gate.touch()
        assert sorted(texts()) == ["0", "1", "2", "3", "4"]
        assert worker.control("POST", "/v1/drain").status == 200  # again changes nothing
        assert worker.control("GET", "/livez").status == 200
        assert worker.counters()["answered"] == 5
