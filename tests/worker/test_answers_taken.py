"""The memory for answers is limited: in total, for each answer, and in time."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_engine import order_png, pdf_of
from tests.worker.client import Worker, wait_for
from tests.worker.harness import start_worker
from tests.worker.loop_probe import peak_growth

MIB = 2**20
# Far more than the kernel buffers for a client that reads nothing.
LARGE = 10 * MIB
SETTINGS = {
    "admission": {"maxAnswer": "12Mi", "answerMemory": "44Mi"},
    "http": {"takeSeconds": 3, "graceSeconds": 30},
}


@contextlib.contextmanager
def reader(worker: Worker, body: bytes, *, buffer: int = 16 * 1024) -> Iterator[socket.socket]:
    """A client that has sent a request and reads nothing yet."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(60)
        client.connect((worker.host, worker.port))
        head = f"POST /v1/ocr HTTP/1.1\r\nHost: w\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        yield client


def metric(worker: Worker, name: str) -> float:
    text = worker.control("GET", "/metrics").body.decode()
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def held(worker: Worker) -> float:
    return metric(worker, "ocrpool_answer_memory_bytes")


def test_a_client_that_takes_nothing_is_disconnected(tmp_path: Path) -> None:
    page = order_png(say="large", bulk=LARGE)
    patient = {**SETTINGS, "http": {"takeSeconds": 15}}
    with start_worker(tmp_path, settings=patient) as worker, contextlib.ExitStack() as stack:
        with peak_growth(worker) as growth:
            clients = [stack.enter_context(reader(worker, page)) for _ in range(4)]
            wait_for("four answers wait for their clients", lambda: held(worker) > 4 * LARGE)
            answer = worker.post(page)
            assert (answer.status, answer.reason) == (429, "QueueFull"), answer
            assert "admission.answerMemory" in answer.message
            assert answer.json["error"]["limit"] == 44 * MIB
            assert answer.headers["Retry-After"]
            assert worker.read(say="small").text == "small"
            wait_for("all that was held is free again", lambda: held(worker) == 0)
        assert metric(worker, "ocrpool_http_clients_cut_off_total") == 4
        # The answers, and the part of one that is discarded.
        assert growth["bytes"] < 1.2 * 44 * MIB + 8 * MIB
        for client in clients:
            with contextlib.suppress(ConnectionError):
                assert len(rest_of(client)) < LARGE
        assert len(worker.post(page).body) > LARGE


def test_a_slow_client_gets_the_whole_answer(tmp_path: Path) -> None:
    settings = {**SETTINGS, "http": {"takeSeconds": 3}}
    with start_worker(tmp_path, settings=settings) as worker:
        began = time.monotonic()
        page = order_png(say="large", bulk=LARGE)
        with reader(worker, page, buffer=256 * 1024) as client:
            received = bytearray()
            while len(received) < LARGE:
                received += client.recv(256 * 1024, socket.MSG_WAITALL)
                time.sleep(0.15)
        assert time.monotonic() - began > 5
        assert received.startswith(b"HTTP/1.1 200 OK\r\n")
        assert metric(worker, "ocrpool_http_clients_cut_off_total") == 0
        wait_for("nothing is held", lambda: held(worker) == 0)


DOCUMENTS = {
    "one page": order_png(say="x", bulk=13 * MIB),
    "all pages": pdf_of([{"say": str(number), "bulk": 3 * MIB} for number in range(6)]),
}


@pytest.mark.parametrize("body", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_an_answer_over_the_limit_is_413(tmp_path: Path, body: bytes) -> None:
    with start_worker(tmp_path, settings=SETTINGS) as worker:
        (pid,) = worker.pids()
        answer = worker.post(body)
        assert (answer.status, answer.reason) == (413, "TooLarge"), answer
        assert "admission.maxAnswer" in answer.message
        assert answer.json["error"]["limit"] == 12 * MIB
        assert worker.read(say="next").pids == [pid]
        wait_for("nothing is held", lambda: held(worker) == 0)


def test_a_document_within_the_limit_is_sent_whole(tmp_path: Path) -> None:
    """Large pages and small ones, in their order."""
    sizes = [2 * MIB, 1, 70_000, 100, 3 * MIB, 0]
    body = pdf_of([{"say": str(number), "bulk": size} for number, size in enumerate(sizes)])
    with start_worker(tmp_path, instances=2, settings=SETTINGS) as worker:
        answer = worker.post(body)
        assert answer.pages == ["0", "1", "2", "3", "4", "5"]
        texts = [page["lines"][-1]["text"] for page in answer.json["pages"]]
        assert texts == ["b" * size for size in sizes]
        wait_for("nothing is held", lambda: held(worker) == 0)


def test_an_answer_that_is_being_written_is_finished(tmp_path: Path) -> None:
    with (
        start_worker(tmp_path, settings=SETTINGS) as worker,
        reader(worker, order_png(say="large", bulk=LARGE)) as client,
    ):
        received = bytearray(client.recv(4096))
        worker.signal(signal.SIGTERM)
        for _ in range(4):
            time.sleep(0.5)
            received += client.recv(64 * 1024)
        # It has not begun to close: what closes waits for some seconds, and not for the grace.
        assert worker.state()["draining"]
        received += rest_of(client)
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        declared = re.search(rb"content-length: (\d+)", head.lower())
        assert declared is not None
        assert len(body) == int(declared[1]) > LARGE
        assert worker.ended() == 0


def rest_of(client: socket.socket) -> bytes:
    """All that still comes, until the other side closes or a whole answer of a kept connection is
    there."""
    received = bytearray()
    client.settimeout(5)
    with contextlib.suppress(TimeoutError):
        while data := client.recv(2**20):
            received += data
    return bytes(received)
