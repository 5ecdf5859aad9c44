"""URLs in `file`, where a worker is allowed to fetch them; the server is on this machine."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import ClassVar

import pytest

from tests.standin import order_png, pdf_of
from tests.worker.calls import post_json
from tests.worker.client import Answer
from tests.worker.harness import Worker, start_worker

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
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        Files.held.set()
        server.shutdown()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    settings = {
        "http": {"fetchUrls": True, "fetchNetworks": ["127.0.0.0/8"]},
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


def test_a_signed_url_is_asked_for_to_the_letter(worker: Worker, files: str) -> None:
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
        ("/text", 422, "no PNG"),
        ("/empty", 422, "empty"),
        ("/a b", 422, "no blanks"),
        ("/x\r\nHost: elsewhere", 422, "no blanks"),
    ],
)
def test_what_cannot_be_fetched_is_told(
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
def test_a_url_that_leads_nowhere_is_422(worker: Worker, url: str) -> None:
    answer = fetch(worker, url)
    assert answer.status == answer.json["errorCode"] == 422, answer


def test_the_type_must_fit_what_was_fetched(worker: Worker, files: str) -> None:
    assert fetch(worker, f"{files}/page.png", fileType=0).status == 422
