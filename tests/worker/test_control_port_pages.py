"""The control port refuses web pages, and a drain can be undone."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_engine import order_png
from tests.worker.calls import call, raw_exchange, status_of
from tests.worker.harness import Worker, launch, start_worker, until_listening


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    settings = {"http": {"headerSeconds": 1}}
    with start_worker(tmp_path_factory.mktemp("worker"), settings=settings) as worker:
        yield worker


CHANGES = [("POST", "/v1/drain"), ("DELETE", "/v1/drain"), ("PUT", "/v1/instances")]
FOREIGN = {
    "another site": {"Origin": "https://example.org", "Sec-Fetch-Site": "cross-site"},
    "an older browser": {"Origin": "https://example.org"},
    "a sandboxed frame": {"Origin": "null"},
    "another port of this machine": {"Sec-Fetch-Site": "same-site"},
    "a name that was made to point here": {
        "Origin": "http://rebound.example:{port}",
        "Host": "rebound.example:{port}",
        "Sec-Fetch-Site": "same-origin",
    },
    "no origin at all": {"Origin": "http://["},
}


@pytest.mark.parametrize(("method", "path"), CHANGES)
@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_page_changes_nothing(
    worker: Worker, method: str, path: str, headers: dict[str, str]
) -> None:
    port = worker.control_port
    told = {name: value.replace("{port}", str(port)) for name, value in headers.items()}
    before = worker.state()["instances"]["target"]
    answer = call(port, method, path, '{"target": 2}', told)
    assert (answer.status, answer.reason) == (403, "Forbidden"), answer
    assert "web page" in answer.message
    state = worker.state()
    assert (state["draining"], state["instances"]["target"]) == (False, before)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:{port}"},
        {"Origin": "http://localhost:{port}", "Host": "localhost:{port}"},
        {"Origin": "http://[::1]:{port}", "Host": "[::1]:{port}"},
    ],
)
def test_programs_and_pages_of_the_same_origin_may_change_the_worker(
    worker: Worker, headers: dict[str, str]
) -> None:
    port = worker.control_port
    told = {name: value.replace("{port}", str(port)) for name, value in headers.items()}
    assert call(port, "PUT", "/v1/instances", '{"target": 1}', told).status == 200


@pytest.mark.parametrize("path", ["/v1/state", "/metrics", "/livez", "/readyz"])
def test_reading_requests_are_allowed_from_any_origin(worker: Worker, path: str) -> None:
    headers = {"Origin": "https://example.org", "Sec-Fetch-Site": "cross-site"}
    answer = call(worker.control_port, "GET", path, headers=headers)
    assert answer.status == 200
    # A browser hides the answer from the page unless CORS headers allow it.
    assert not any(name.lower().startswith("access-control") for name in answer.headers)


def test_a_drain_is_logged_with_who_asked_and_can_be_taken_back(worker: Worker) -> None:
    answer = call(worker.control_port, "POST", "/v1/drain")
    assert (answer.status, answer.json["draining"]) == (200, True)
    assert not worker.ready
    assert worker.read(say="x").status == 503
    (event,) = [each for each in worker.events() if each["event"] == "drain asked for"]
    assert event["peer"] == "127.0.0.1"
    answer = call(worker.control_port, "DELETE", "/v1/drain")
    assert (answer.status, answer.json["draining"], answer.json["ready"]) == (200, False, True)
    assert worker.ready
    assert worker.read(say="read again").text == "read again"
    (event,) = [each for each in worker.events() if each["event"] == "drain taken back"]
    assert event["peer"] == "127.0.0.1"
    # Undoing a drain without one has no effect.
    assert call(worker.control_port, "DELETE", "/v1/drain").json["ready"]


def test_a_body_that_does_not_come_is_408(worker: Worker) -> None:
    head = b"PUT /v1/instances HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"
    answer = raw_exchange(worker.control_port, head)
    assert status_of(answer) == 408
    assert b"http.headerSeconds" in answer


def test_a_drain_by_a_signal_cannot_be_undone(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with start_worker(tmp_path, settings={"http": {"graceSeconds": 30}}) as worker:
        running = worker.begin(say="running", gate=str(gate))
        worker.until_busy()
        worker.signal(signal.SIGTERM)
        worker.until("it drains", lambda state: state["draining"])
        answer = call(worker.control_port, "DELETE", "/v1/drain")
        assert (answer.status, answer.reason) == (409, "Ending"), answer
        assert worker.state()["draining"]
        gate.touch()
        assert running.result().text == "running"
        assert worker.ended() == 0


def test_without_a_configuration_it_listens_on_loopback_only(tmp_path: Path) -> None:
    worker = launch(tmp_path, host=None)
    try:
        until_listening(worker)
        worker.until_ready(1)
        assert worker.post(order_png(say="here")).text == "here"
        # Every address of 127.0.0.0/8 is this machine's; one that listens on 0.0.0.0 answers there.
        for port in (worker.port, worker.control_port):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.9", port), timeout=10)
        worker.stop()
    finally:
        worker.clean_up()
