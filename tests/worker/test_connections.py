"""Connections are limited in number and time, and never take the descriptors of the control port or
of an instance."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_engine import order_png
from tests.worker.calls import raw_exchange, status_of
from tests.worker.harness import Worker, start_worker, wait_for

FEW = 128


def with_few_descriptors(command: list[str]) -> list[str]:
    return ["sh", "-c", f'ulimit -n {FEW}; exec "$@"', "sh", *command]


@contextlib.contextmanager
def connections(port: int, number: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    """This many open connections that have sent these bytes."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(number):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            with contextlib.suppress(ConnectionError):
                sock.sendall(sent)
            found.append(sock)
        yield found


def open_in(worker: Worker) -> int:
    return len(os.listdir(f"/proc/{worker.pid}/fd"))


def said_until_closed(sock: socket.socket) -> bytes:
    said = b""
    with contextlib.suppress(ConnectionError):
        while chunk := sock.recv(65536):
            said += chunk
    return said


@pytest.mark.parametrize("sent", [b"", b"POST /v1/ocr HTTP/1.1\r\nX-"], ids=["idle", "half"])
def test_idle_ones_stop_neither_probes_nor_requests_nor_instances(
    tmp_path: Path, sent: bytes
) -> None:
    with start_worker(tmp_path, instances=2, inside=with_few_descriptors) as worker:
        with connections(worker.port, 200, sent), connections(worker.control_port, 100, sent):
            for _ in range(5):
                assert worker.control("GET", "/livez").status == 200
                assert worker.read(say="read").text == "read"
            # A new instance needs descriptors too.
            os.kill(worker.pids()[0], signal.SIGKILL)
            worker.until("it is noticed", lambda state: state["counters"]["deaths"] == 1)
            worker.until_ready(2)
            assert open_in(worker) < FEW
        text = worker.log_file.read_text()
        assert "Traceback" not in text
        assert len(text) < 50_000


def test_the_longest_idle_connection_is_closed_at_the_limit(tmp_path: Path) -> None:
    settings = {"http": {"maxConnections": 3, "headerSeconds": 60}}
    with (
        start_worker(tmp_path, settings=settings) as worker,
        connections(worker.port, 3) as (first, second, third),
    ):
        assert worker.read(say="read").text == "read"
        assert said_until_closed(first) == b""
        for sock in (second, third):
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert status_of(said_until_closed(sock)) == 200


def test_a_connection_beyond_the_limit_is_503_if_all_are_busy(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path, settings={"http": {"maxConnections": 3}}) as worker:
        held = [worker.begin(say=str(number), gate=str(gate)) for number in range(3)]
        worker.until("all are in", lambda state: state["queue"]["depth"] == 2)
        for _ in range(5):
            answer = raw_exchange(worker.port, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert status_of(answer) == 503
            assert b"http.maxConnections" in answer
            assert b"Retry-After: 1" in answer
        assert worker.ready
        gate.touch()
        assert [each.result().text for each in held] == ["0", "1", "2"]
        assert worker.read(say="room again").text == "room again"
        said = [each for each in worker.events() if each["event"] == "connections refused"]
        assert len(said) == 1, said


IMPATIENT = {"http": {"headerSeconds": 1, "keepAliveSeconds": 1}}


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with start_worker(tmp_path_factory.mktemp("worker"), settings=IMPATIENT) as worker:
        yield worker


@pytest.mark.parametrize("port", ["port", "control_port"])
def test_a_silent_connection_is_closed(impatient: Worker, port: str) -> None:
    with connections(getattr(impatient, port), 5) as found:
        for sock in found:
            assert said_until_closed(sock) == b""


@pytest.mark.parametrize("port", ["port", "control_port"])
def test_a_slow_header_is_408(impatient: Worker, port: str) -> None:
    with connections(getattr(impatient, port), 1, b"GET /livez HTTP/1.1\r\n") as (sock,):
        drips = 0
        with contextlib.suppress(ConnectionError):
            while drips < 600:  # a minute, where nobody ends it
                sock.sendall(b"X-Drip: drop\r\n")
                drips += 1
                time.sleep(0.1)
        assert drips < 600
    # Bytes that are sent after the end can discard the answer.
    with connections(getattr(impatient, port), 1, b"GET /livez HTTP/1.1\r\n") as (sock,):
        answer = said_until_closed(sock)
        assert status_of(answer) == 408
        assert b"http.headerSeconds" in answer


def test_an_idle_connection_is_closed_after_the_keep_alive_time(impatient: Worker) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", impatient.port, timeout=30)
    try:
        for _ in range(2):
            connection.request("POST", "/v1/ocr", order_png(say="kept"))
            response = connection.getresponse()
            assert response.status == 200
            response.read()
        assert connection.sock is not None
        assert connection.sock.recv(1) == b""
    finally:
        connection.close()


def test_a_request_that_takes_long_is_not_cut(impatient: Worker, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    running = impatient.begin(say="slow", gate=str(gate))
    impatient.until_busy()
    time.sleep(3)
    gate.touch()
    assert running.result().text == "slow"


def test_a_stopped_worker_answers_requests_that_arrived_meanwhile(impatient: Worker) -> None:
    with connections(impatient.port, 1, b"GET /health HTTP/1.1\r\n") as (sock,):
        time.sleep(0.2)
        impatient.signal(signal.SIGSTOP)
        time.sleep(4)
        sock.sendall(b"Host: x\r\nConnection: close\r\n\r\n")
        impatient.signal(signal.SIGCONT)
        assert status_of(said_until_closed(sock)) == 200


def test_an_endless_header_is_431(tmp_path: Path) -> None:
    line = b"X-Long: " + b"x" * 3990 + b"\r\n"
    head = b"GET /health HTTP/1.1\r\n" + line * 16 + b"X: " + b"y" * 2000
    with start_worker(tmp_path) as worker, connections(worker.port, 1, head) as (sock,):
        assert status_of(said_until_closed(sock)) == 431


def test_without_descriptors_accepting_pauses_and_is_logged_once(tmp_path: Path) -> None:
    """Something else has taken all descriptors, so reserved ones do not help."""
    with start_worker(tmp_path) as worker:
        before = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (open_in(worker), before[1]))
        with connections(worker.port, 30, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n") as found:

            def told() -> bool:
                return any(
                    each["event"] == "connections cannot be accepted" for each in worker.events()
                )

            wait_for("it says so", told)
            time.sleep(2)
            resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, before)
            for sock in found:
                assert sock.recv(12) == b"HTTP/1.1 200"
        text = worker.log_file.read_text()
        assert text.count("connections cannot be accepted") == 1
        assert "Traceback" not in text


def test_a_refused_body_is_taken_in_and_the_connection_kept(tmp_path: Path) -> None:
    """The rest of a refused body is not read as a header or as the next request."""
    with start_worker(tmp_path, settings={"admission": {"maxBody": "1Mi"}}) as worker:
        connection = http.client.HTTPConnection("127.0.0.1", worker.port, timeout=60)
        try:
            for _ in range(3):
                connection.request("POST", "/v1/ocr", bytes(8 * 2**20))
                response = connection.getresponse()
                assert response.status == 413
                response.read()
                kept = connection.sock
                connection.request("POST", "/v1/ocr", order_png(say="kept") + bytes(900_000))
                response = connection.getresponse()
                assert response.status == 200
                response.read()
                assert connection.sock is kept
        finally:
            connection.close()


def test_requests_that_come_in_one_go_are_all_answered(impatient: Worker) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n"
    with connections(impatient.port, 1, (request + b"\r\n") * 20) as (sock,):
        sock.sendall(request + b"Connection: close\r\n\r\n")
        assert said_until_closed(sock).count(b"HTTP/1.1 200") == 21
