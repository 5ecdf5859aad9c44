"""The load generator counts what a server does wrong."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from tools.bench.lib.load import Load, generate
from tools.bench.lib.payload import http_request

REQUESTS = [http_request("/v1/ocr", str(number).encode(), "text/plain") for number in range(5)]
Answer = Callable[[bytes], bytes]


def response(body: bytes, status: int = 200, *, more: bytes = b"", head: str = "") -> bytes:
    lines = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{head}\r\n"
    return lines.encode() + body + more


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, int]]:
    """A server that sends `answer(body)` for each request, and hangs up where that is empty."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            request: socket.socket = self.request
            received = b""
            while True:
                while b"\r\n\r\n" not in received or not received.partition(b"\r\n\r\n")[2]:
                    chunk = request.recv(65536)
                    if not chunk:
                        return
                    received += chunk
                sent = answer(received.partition(b"\r\n\r\n")[2])
                received = b""
                if not sent:
                    return
                request.sendall(sent)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield ("127.0.0.1", server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def test_each_request_is_sent_once_and_its_body_is_kept() -> None:
    bodies: dict[int, bytes] = {}
    with serving(lambda body: response(b"read " + body)) as (_, port):
        load = generate(port, REQUESTS, clients=3, bodies=bodies)
    assert bodies == {number: b"read %d" % number for number in range(5)}
    assert load.statuses == {"200": 5}
    assert len(load.latencies) == 5
    assert load.per_second > 0


def test_a_closed_loop_goes_round_until_it_is_left() -> None:
    seen: list[bytes] = []

    def answer(body: bytes) -> bytes:
        seen.append(body)
        return response(b"ok")

    with serving(answer) as address, Load(lambda: address, REQUESTS, clients=1) as load:
        load.wait_answered(12)
    assert load.failures == []
    assert seen[:6] == [b"0", b"1", b"2", b"3", b"4", b"0"]


@pytest.mark.parametrize(
    ("sent", "status", "error"),
    [
        (response(b"busy", 429), "429", "429: busy"),
        (response(b"two", more=response(b"two")), "200", "bytes after the end of the answer"),
        (response(b"wrong"), "200", "wrong text"),
        (b"", "NoAnswerError", "NoAnswerError: the connection ended before an answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "ConnectionError", "an answer without Content-Length"),
    ],
)
@pytest.mark.parametrize("rate", [0.0, 200.0])
def test_what_is_wrong_is_a_failure(sent: bytes, status: str, error: str, rate: float) -> None:
    def check(_: int, body: bytes) -> str:
        return "wrong text" if body == b"wrong" else ""

    started = threading.Event()

    def answer(_: bytes) -> bytes:
        started.set()
        return sent

    with serving(answer) as address:
        with Load(lambda: address, REQUESTS, clients=1, rate=rate, check=check) as load:
            assert started.wait(10)
        assert set(load.statuses) == {status}
    assert load.answered == 0
    assert all(error in each.error for each in load.failures)
    assert load.failures


def test_a_failed_request_ends_a_measurement() -> None:
    with (
        serving(lambda body: response(b"full", 503)) as (_, port),
        pytest.raises(RuntimeError, match="503: full"),
    ):
        generate(port, REQUESTS, clients=2)


def test_a_steady_rate_reuses_connections_that_the_server_keeps() -> None:
    connections: set[int] = set()

    def answer(_: bytes) -> bytes:
        connections.add(threading.get_ident())
        return response(b"ok")

    with serving(answer) as address, Load(lambda: address, REQUESTS, rate=100) as load:
        while load.answered <= len(connections):
            load.wait_answered(1)
    assert load.failures == []


def test_an_answer_that_closes_is_followed_by_a_new_connection() -> None:
    closing = response(b"ok", head="Connection: close\r\n")
    with (
        serving(lambda body: closing) as address,
        Load(lambda: address, REQUESTS, clients=2) as load,
    ):
        load.wait_answered(6)
    assert load.failures == []
