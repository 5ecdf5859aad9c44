"""docs/failure-rules.md: no work is done for a client that has gone; it costs no instance."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.fake_engine import order_png
from tests.worker.harness import Worker, pids_of, start_worker


def knock(worker: Worker, body: bytes) -> socket.socket:
    """Send a whole request and keep the connection, for the test to close."""
    connection = socket.create_connection(("127.0.0.1", worker.port), timeout=10)
    head = f"POST /v1/ocr HTTP/1.1\r\nHost: worker\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def test_a_waiting_request_whose_client_has_gone_is_dropped(tmp_path: Path) -> None:
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    with start_worker(tmp_path, settings={"engine": {"options": {"trace": str(trace)}}}) as worker:
        running = worker.begin(say="running", gate=str(gate))
        (pid,) = worker.pids()
        worker.until_busy()
        client = knock(worker, order_png(say="nobody waits for this"))
        worker.until("it waits", lambda state: state["queue"]["depth"] == 1)
        client.close()
        worker.until("it is dropped", lambda state: state["counters"]["cancelled"] == 1)
        assert worker.state()["queue"]["depth"] == 0
        gate.touch()
        assert running.result().text == "running"
        assert worker.read(say="next").pids == [pid]
        assert [line.split(" ", 1)[1] for line in trace.read_text().splitlines()] == [
            "running",
            "next",
        ]


def test_a_running_request_whose_client_has_gone_leaves_the_instance(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path) as worker:
        (pid,) = worker.pids()
        client = knock(worker, order_png(say="abandoned", gate=str(gate)))
        worker.until_busy()
        client.close()
        worker.until("it is given up", lambda state: state["counters"]["cancelled"] == 1)
        assert worker.pids("busy") == [pid]  # it is still on the page
        gate.touch()
        assert worker.read(say="next").pids == [pid]
        assert worker.counters()["deaths"] == 0


def test_a_long_page_whose_client_has_gone_is_given_up(tmp_path: Path) -> None:
    with start_worker(tmp_path) as worker:
        (pid,) = worker.pids()
        client = knock(worker, order_png(say="abandoned", steps=1200))
        worker.until_busy()
        client.close()
        worker.until(
            "the instance is free long before the page's end",
            lambda state: pids_of(state, "idle") == [pid],
        )
        assert worker.read(say="next").pids == [pid]
        counters = worker.counters()
        assert (counters["cancelled"], counters["deaths"], counters["retried"]) == (1, 0, 0)


def test_an_abandoned_page_that_kills_its_instance_is_not_tried_again(tmp_path: Path) -> None:
    gate, trace = tmp_path / "gate", tmp_path / "trace"
    with start_worker(tmp_path, settings={"engine": {"options": {"trace": str(trace)}}}) as worker:
        client = knock(worker, order_png(say="abandoned", gate=str(gate), signal="SIGKILL"))
        worker.until_busy()
        client.close()
        worker.until("it is given up", lambda state: state["counters"]["cancelled"] == 1)
        gate.touch()
        worker.until("it died", lambda state: state["counters"]["deaths"] == 1)
        assert worker.read(say="next").text == "next"
        assert trace.read_text().count("abandoned") == 1
        assert worker.counters()["retried"] == 0
