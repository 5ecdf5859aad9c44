"""Stalled uploads end, and the uploads of one client do not block other clients or small bodies."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.fake_engine import order_png
from tests.worker.calls import raw_exchange, status_of
from tests.worker.client import Answer
from tests.worker.harness import Worker, start_worker, wait_for

WHOLE, LARGE = 600_000, 99_000
SECRET = "a secret of the proxy"
LIMITS = {"maxBody": 100_000, "bodyMemory": WHOLE, "minBodyRate": 0, "timeoutSeconds": 60}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("secret")
    (folder / "given").write_text(SECRET + "\n")
    settings = {"admission": LIMITS, "http": {"proxySecretFile": str(folder / "given")}}
    with start_worker(tmp_path_factory.mktemp("worker"), settings=settings) as worker:
        yield worker


@contextlib.contextmanager
def stalled(
    worker: Worker, address: str, number: int, headers: Mapping[str, str] | None = None
) -> Iterator[None]:
    """This many uploads from one address that stop just before their end."""
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = f"POST /v1/ocr HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {LARGE}\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            sock = stack.enter_context(socket.socket())
            sock.bind((address, 0))
            sock.connect(("127.0.0.1", worker.port))
            sock.sendall(head.encode() + bytes(LARGE - 1))
        yield


def post(
    worker: Worker, body: bytes, address: str, headers: Mapping[str, str] | None = None
) -> Answer:
    connection = http.client.HTTPConnection(
        "127.0.0.1", worker.port, timeout=60, source_address=(address, 0)
    )
    try:
        connection.request("POST", "/v1/ocr", body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def until(worker: Worker, address: str, status: int, headers: Mapping[str, str]) -> Answer:
    """Send a large body from this address until it gets this status, because earlier bytes may
    still arrive."""
    last: list[Answer] = []

    def look() -> Answer | None:
        answer = post(worker, bytes(LARGE), address, headers)
        last[:] = [answer]
        return answer if answer.status == status else None

    return wait_for(f"{address} gets {status}", look, or_tell=lambda: last)


def test_stalled_uploads_of_one_client_keep_out_only_itself(worker: Worker) -> None:
    with stalled(worker, "127.0.0.2", 10):
        answer = until(worker, "127.0.0.2", 429, {})
        assert answer.reason == "QueueFull"
        assert "admission.clientShare" in answer.message
        assert answer.json["error"]["limit"] == WHOLE // 2
        assert answer.headers["Retry-After"] == "1"
        for _ in range(5):
            assert post(worker, bytes(LARGE), "127.0.0.3").status == 422  # read: it is no image
            assert post(worker, order_png(say="read"), "127.0.0.3").text == "read"
    until(worker, "127.0.0.2", 422, {})


def test_large_bodies_leave_room_for_small_ones(worker: Worker) -> None:
    with contextlib.ExitStack() as stack:
        for last in range(2, 12):
            stack.enter_context(stalled(worker, f"127.0.0.{last}", 1))
        answer = until(worker, "127.0.0.50", 429, {})
        assert "admission.bodyMemory" in answer.message
        assert "an eighth" in answer.message
        for _ in range(5):
            assert post(worker, order_png(say="small"), "127.0.0.50").text == "small"
    until(worker, "127.0.0.50", 422, {})


def told(address: str, secret: str = SECRET) -> dict[str, str]:
    return {"X-Ocrpool-Client": f"{address} {secret}"}


def test_behind_a_proxy_its_client_address_counts(worker: Worker) -> None:
    """All connections come from the proxy's own address, 127.0.0.2."""
    with stalled(worker, "127.0.0.2", 10, told("192.0.2.1")):
        until(worker, "127.0.0.2", 429, told("192.0.2.1"))
        assert post(worker, bytes(LARGE), "127.0.0.2", told("192.0.2.2")).status == 422
        # All addresses of one IPv6 network are one client.
        with stalled(worker, "127.0.0.2", 4, told("2001:db8::1")):
            until(worker, "127.0.0.2", 429, told("2001:db8::ffff:2"))
    until(worker, "127.0.0.2", 422, told("192.0.2.1"))


@pytest.mark.parametrize("secret", ["", "wrong", SECRET.upper(), f"{SECRET} "[:-2], "\xe9"])
def test_a_client_cannot_set_its_own_address(worker: Worker, secret: str) -> None:
    with stalled(worker, "127.0.0.2", 10):
        # The header is ignored: the client is still 127.0.0.2.
        answer = until(worker, "127.0.0.2", 429, told("192.0.2.9", secret))
        assert "admission.clientShare" in answer.message
        # It cannot use up another client's share either.
        assert post(worker, bytes(LARGE), "127.0.0.3", told("127.0.0.2", secret)).status == 422
    until(worker, "127.0.0.2", 422, {})


def test_an_upload_that_stalls_is_408(tmp_path: Path) -> None:
    with start_worker(tmp_path, settings={"admission": {"timeoutSeconds": 60}}) as worker:
        head = b"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        began = time.monotonic()
        answer = raw_exchange(worker.port, head + bytes(50_000), timeout=45)
        assert status_of(answer) == 408
        assert b"admission.minBodyRate" in answer
        assert time.monotonic() - began < 45  # timeoutSeconds would be 60


def test_a_slow_but_steady_upload_is_read(tmp_path: Path) -> None:
    """Above the minimum rate for longer than the window over which it is measured."""
    limits = {"admission": {"minBodyRate": 100, "timeoutSeconds": 60}}
    body = order_png(say="slow", pad=0) + bytes(8000)
    with start_worker(tmp_path, settings=limits) as worker:
        with socket.create_connection(("127.0.0.1", worker.port), timeout=60) as sock:
            head = f"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            sock.sendall(head.encode())
            for part in range(0, len(body), 1000):
                sock.sendall(body[part : part + 1000])
                time.sleep(0.7)
            answer = sock.recv(65536)
        assert status_of(answer) == 200
