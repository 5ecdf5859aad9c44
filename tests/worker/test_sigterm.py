"""docs/failure-rules.md: after SIGTERM accepted requests finish, new ones get 503, it exits."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fake_engine import order_png
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
def test_accepted_requests_are_finished(tmp_path: Path, number: signal.Signals, times: int) -> None:
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


def test_a_page_whose_instance_exits_during_a_drain_is_answered(tmp_path: Path) -> None:
    gate, flag = tmp_path / "gate", str(tmp_path / "flag")
    with start_worker(tmp_path, settings=GRACE) as worker:
        page = worker.begin(say="survives", gate=str(gate), signal="SIGKILL", once=flag)
        worker.until_busy()
        worker.signal(signal.SIGTERM)
        worker.until("it drains", lambda state: state["draining"])
        gate.touch()
        assert page.result().text == "survives"
        assert worker.ended() == 0


def test_the_worker_exits_when_the_grace_period_is_over(tmp_path: Path) -> None:
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
def test_sigterm_during_the_first_startup_ends_the_worker(
    tmp_path: Path, start: str, times: int
) -> None:
    settings = {"engine": {"options": {"boot": {"native": 60}}}} | GRACE
    arguments = ("--on-failed-start", start)
    with start_worker(tmp_path, *arguments, settings=settings, ready=False) as worker:
        worker.until("one boots", lambda state: bool(state["instances"]["each"]))
        began = time.monotonic()
        for _ in range(times):
            worker.signal(signal.SIGTERM)
        assert worker.ended() == 0
        assert time.monotonic() - began < 5


def test_sigterm_between_failed_startups_ends_the_worker(tmp_path: Path) -> None:
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


def test_a_drain_refuses_new_requests_and_finishes_accepted_ones(tmp_path: Path) -> None:
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


LAME_DUCK = {"http": {"graceSeconds": 15, "lameDuckSeconds": 2}}


@pytest.mark.parametrize("by", ["SIGTERM", "drain"])
def test_a_lame_duck_is_not_ready_and_still_takes_requests(tmp_path: Path, by: str) -> None:
    """Clients learn late that a worker ends. Until then their requests are read, and connections
    are not kept. After that they are refused, with the time to come again."""
    gate = tmp_path / "gate"
    with start_worker(tmp_path, settings=LAME_DUCK) as worker:
        before = worker.begin(say="held", gate=str(gate))
        worker.until_busy()
        if by == "SIGTERM":
            worker.signal(signal.SIGTERM)
            worker.until("it drains", lambda state: state["draining"])
        else:
            assert worker.control("POST", "/v1/drain").json["draining"]
        assert not worker.ready
        assert worker.get("/health").status == 503
        during = worker.begin(say="late", gate=str(gate))
        worker.until("it is taken", lambda state: state["queue"]["depth"] == 1)
        # Not an image: nothing is held up by what is sent here while it is still taken.
        wait_for("it refuses", lambda: worker.post(b"no image").status == 503)
        answer = worker.read(say="too late")
        assert (answer.status, answer.reason) == (503, "Unavailable"), answer
        assert answer.headers["Retry-After"] == "1"
        assert answer.headers["Connection"] == "close"
        gate.touch()
        assert [before.result().text, during.result().text] == ["held", "late"]
        assert during.result().headers["Connection"] == "close"
        assert before.result().headers["Connection"] == "close"


def test_a_worker_that_was_not_ready_has_no_lame_duck_time(tmp_path: Path) -> None:
    """No client is sent to it. (The lame duck time would be a minute.)"""
    settings = {"http": {"graceSeconds": 15, "lameDuckSeconds": 60}}
    with start_worker(tmp_path, settings=settings) as worker:
        worker.set_target(0)
        worker.until("nothing is ready", lambda state: not state["ready"])
        worker.signal(signal.SIGTERM)
        assert worker.ended() == 0


def test_a_drained_worker_that_gets_sigterm_has_one_lame_duck_time(tmp_path: Path) -> None:
    with start_worker(tmp_path, settings=LAME_DUCK) as worker:
        worker.control("POST", "/v1/drain")
        wait_for("it refuses", lambda: worker.post(b"no image").status == 503)
        worker.signal(signal.SIGTERM)
        # Were it one again, it would listen for two more seconds and say 422.
        with contextlib.suppress(OSError):
            assert worker.post(b"no image").status == 503
        assert worker.ended() == 0


def test_a_drain_waits_for_bodies_that_are_arriving(tmp_path: Path) -> None:
    """What began to arrive before the end is read, although others are refused by then."""
    body = order_png(say="slow sender")
    with start_worker(tmp_path, settings=GRACE) as worker:
        with socket.create_connection(("127.0.0.1", worker.port), timeout=20) as client:
            head = f"POST /v1/ocr HTTP/1.1\r\nHost: w\r\nContent-Length: {len(body)}\r\n"
            client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
            assert b"100 Continue" in client.recv(100)
            worker.signal(signal.SIGTERM)
            worker.until("it drains", lambda state: state["draining"])
            client.sendall(body)
            answer = client.makefile("rb").read()
        assert b"200 OK" in answer.split(b"\r\n")[0], answer
        assert b"slow sender" in answer
        assert worker.ended() == 0
