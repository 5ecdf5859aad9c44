"""URLs in `file`, if the worker may fetch them. The server is on this machine."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest

from tests.fake_engine import order_png, pdf_of
from tests.worker.calls import post_json
from tests.worker.client import Answer
from tests.worker.harness import Worker, start_worker, wait_for

PAGE, DOCUMENT = order_png(say="fetched"), pdf_of([{"say": "one"}, {"say": "two"}])
LIMIT = 64 * 1024


class Files(http.server.BaseHTTPRequestHandler):
    """A file for each path, good and bad."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[str]] = []
    held = threading.Event()

    def do_GET(self) -> None:
        self.seen.append(self.path)
        path = self.path.partition("?")[0]
        if path == "/silent":
            self.held.wait(30)
            self.close_connection = True
        elif path == "/hangs-up":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")
            self.close_connection = True
        elif path == "/loop":
            self.answer(b"", 302, Location="/loop")
        elif path == "/moved":
            self.answer(b"", 302, Location="/page.png")
        elif path == "/elsewhere":
            # To the same server, by an address outside the named networks.
            port = self.server.server_address[1]
            self.answer(b"", 302, Location=f"http://127.0.1.1:{port}/page.png")
        elif path == "/stalls":
            self.send_response(200)
            self.send_header("Content-Length", str(LIMIT))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(bytes(LIMIT - 1000))
                self.held.wait(30)
            self.close_connection = True
        else:
            files = {
                "/page.png": PAGE,
                "/a%2Fb": PAGE,
                "/document.pdf": DOCUMENT,
                "/large": bytes(LIMIT + 1),
                "/text": b"words",
                "/empty": b"",
            }
            self.answer(files.get(path, b"none"), 200 if path in files else 404)

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def files() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("0.0.0.0", 0), Files) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        Files.held.set()
        server.shutdown()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    settings = {
        "http": {"fetchUrls": True, "fetchNetworks": ["127.0.0.1/32"]},
        "admission": {"maxBody": LIMIT, "timeoutSeconds": 2},
    }
    with start_worker(tmp_path_factory.mktemp("worker"), settings=settings) as worker:
        yield worker


def fetch(worker: Worker, url: str, **more: object) -> Answer:
    return post_json(worker.port, {"file": url, "visualize": False, "logId": "mine", **more})


def texts(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    pages = answer.json["result"]["ocrResults"]
    return [page["prunedResult"]["rec_texts"][0] for page in pages]


def test_a_page_and_a_document_are_fetched(worker: Worker, files: str) -> None:
    assert texts(fetch(worker, f"{files}/page.png")) == ["fetched"]
    assert texts(fetch(worker, f"{files}/page.png", fileType=1)) == ["fetched"]
    assert texts(fetch(worker, f"{files}/document.pdf", fileType=0)) == ["one", "two"]
    assert texts(fetch(worker, f"{files}/moved")) == ["fetched"]


def test_a_signed_url_is_fetched_unchanged(worker: Worker, files: str) -> None:
    path = "/a%2Fb?sign=%7e%41+b%2F&x=%e4"
    assert texts(fetch(worker, files + path)) == ["fetched"]
    assert Files.seen[-1] == path


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/missing", 422, "404"),
        ("/large", 413, "admission.maxBody"),
        ("/silent", 422, "cannot be fetched"),
        ("/hangs-up", 422, "cannot be fetched"),
        ("/loop", 422, "cannot be fetched"),
        ("/text", 422, "none of PNG, JPEG"),
        ("/empty", 422, "empty"),
        ("/a b", 422, "no blanks"),
        ("/x\r\nHost: elsewhere", 422, "no blanks"),
    ],
)
def test_a_failed_fetch_says_why(
    worker: Worker, files: str, path: str, status: int, words: str
) -> None:
    answer = fetch(worker, files + path)
    assert answer.status == answer.json["errorCode"] == status, answer
    assert words in answer.json["errorMsg"]
    assert answer.json["logId"] == "mine"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x",
        "http://127.0.0.1:99999/x",
        "http://[::1",
        "http://[zz]/x",
        "https://",
        "http://127.0.0.1:port/x",
        "http://\u2028/x",
        "http://ex%20ample/",
        "http://" + "a" * 300 + ".invalid/",
        "http://..invalid/",
    ],
)
def test_an_unreachable_url_is_422(worker: Worker, url: str) -> None:
    answer = fetch(worker, url)
    assert answer.status == answer.json["errorCode"] == 422, answer


def test_the_type_must_fit_what_was_fetched(worker: Worker, files: str) -> None:
    assert fetch(worker, f"{files}/page.png", fileType=0).status == 422


UNREACHED = [
    "http://127.0.0.1:1/x",  # allowed, and nobody listens
    "http://nowhere.invalid/x",
    "http://127.0.1.1:{port}/page.png",
    "http://localhost.localdomain.invalid:{port}/page.png",
    "http://2130706689:{port}/page.png",  # 127.0.1.1
    "http://0x7f.0.1.1:{port}/page.png",
    "http://[::ffff:127.0.1.1]:{port}/page.png",
    "http://[::1]:{port}/page.png",
    "http://0.0.0.0:{port}/page.png",
    "http://[::]:{port}/page.png",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/",
    "http://[fd00:ec2::254]/",
    "http://127.0.0.1:{port}/elsewhere",
    "http://127.0.0.1:{port}/loop",
    "http://127.0.0.1:{port}/silent",
    "http://127.0.0.1:{port}/hangs-up",
]


def test_private_addresses_are_never_contacted(worker: Worker, files: str) -> None:
    port = files.rpartition(":")[2]
    assert texts(fetch(worker, f"{files}/page.png")) == ["fetched"]
    before = Files.seen.count("/page.png")
    with ThreadPoolExecutor(8) as clients:
        urls = [url.replace("{port}", port) for url in UNREACHED]
        answers = list(clients.map(lambda url: fetch(worker, url), urls))
    assert {answer.status for answer in answers} == {422}
    (message,) = {answer.json["errorMsg"] for answer in answers}
    assert "cannot be fetched" in message
    assert "http.fetchNetworks" in message
    assert Files.seen.count("/page.png") == before


def test_without_named_networks_loopback_is_never_contacted(tmp_path: Path, files: str) -> None:
    with start_worker(tmp_path, settings={"http": {"fetchUrls": True}}) as worker:
        seen = len(Files.seen)
        for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"):
            url = f"http://{host}:{files.rpartition(':')[2]}/page.png"
            answer = fetch(worker, url)
            assert answer.status == 422, url
            assert "may not connect to it" in answer.json["errorMsg"]
        assert len(Files.seen) == seen


def test_what_is_fetched_counts_as_a_body(tmp_path: Path, files: str) -> None:
    settings = {
        "http": {"fetchUrls": True, "fetchNetworks": ["127.0.0.1/32"]},
        "admission": {
            "maxBody": LIMIT,
            "bodyMemory": 4 * LIMIT,
            "clientShare": 0.1,
            "timeoutSeconds": 60,
        },
    }
    with start_worker(tmp_path, settings=settings) as worker, ThreadPoolExecutor(1) as clients:
        stalls = clients.submit(fetch, worker, f"{files}/stalls")
        wait_for("it has come", lambda: "/stalls" in Files.seen)
        try:
            # Nearly one `maxBody` is held, and the share of one client is less than two.
            answer = wait_for(
                "there is no room",
                lambda: (found := fetch(worker, f"{files}/stalls")).status == 429 and found,
            )
            assert answer.json["errorCode"] == 429
            assert "admission.clientShare" in answer.json["errorMsg"]
        finally:
            Files.held.set()
        assert stalls.result().status == 422
        Files.held.clear()
        # Everything was released.
        for _ in range(30):
            assert texts(fetch(worker, f"{files}/document.pdf")) == ["one", "two"]


def test_concurrent_fetches_are_limited(tmp_path: Path, files: str) -> None:
    settings = {
        "http": {"fetchUrls": True, "fetchNetworks": ["127.0.0.1/32"], "maxFetches": 2},
        "admission": {"timeoutSeconds": 60},
    }
    before = Files.seen.count("/silent")
    with start_worker(tmp_path, settings=settings) as worker, ThreadPoolExecutor(8) as clients:
        held = [clients.submit(fetch, worker, f"{files}/silent") for _ in range(2)]
        wait_for("two are on their way", lambda: Files.seen.count("/silent") == before + 2)
        waiting = [clients.submit(fetch, worker, f"{files}/page.png?waiting") for _ in range(4)]
        worker.until("they wait", lambda state: not any(each.done() for each in waiting))
        # Other requests do not wait for the fetches.
        assert worker.read(say="read").text == "read"
        assert not any(path.endswith("?waiting") for path in Files.seen)
        Files.held.set()
        try:
            assert [each.result().status for each in held] == [422, 422]
            assert [texts(each.result()) for each in waiting] == [["fetched"]] * 4
        finally:
            Files.held.clear()
