"""`POST /v1/ocr`, `/health`, and the data port's errors for other requests."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fake_engine import order_png, pdf_of
from tests.worker.calls import call, post_json, raw_exchange, status_of
from tests.worker.client import Answer
from tests.worker.harness import Worker, start_worker


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    settings = {"admission": {"maxBody": "64Ki", "timeoutSeconds": 1.5}}
    with start_worker(tmp_path_factory.mktemp("worker"), settings=settings) as worker:
        yield worker


def refused(answer: Answer, status: int, reason: str) -> dict[str, Any]:
    assert answer.status == status, answer
    assert set(answer.json) == {"error"}
    error: dict[str, Any] = answer.json["error"]
    assert (
        {"status", "reason", "message"}
        <= set(error)
        <= {
            "status",
            "reason",
            "message",
            "field",
            "limit",
        }
    )
    assert (error["status"], error["reason"]) == (status, reason)
    return error


def test_an_image_is_answered_with_its_lines(worker: Worker) -> None:
    answer = worker.post(order_png(say="hello"))
    assert answer.headers["Content-Type"] == "application/json"
    (page,) = answer.json["pages"]
    assert set(page) == {"width", "height", "lines"}
    line = page["lines"][0]
    assert set(line) == {"text", "score", "polygon"}
    assert line["text"] == "hello"
    assert line["polygon"][2] == [page["width"], page["height"]]


def test_a_document_is_answered_in_the_order_of_its_pages(worker: Worker) -> None:
    assert worker.post(pdf_of([{"say": str(page)} for page in range(4)])).pages == list("0123")


def test_the_content_type_is_ignored(worker: Worker) -> None:
    for content_type in ("image/png", "application/json", "nonsense", ""):
        headers = {"Content-Type": content_type}
        answer = call(worker.port, "POST", "/v1/ocr", order_png(say="x"), headers)
        assert answer.text == "x"


def test_parameters_are_in_the_query(worker: Worker) -> None:
    path = "/v1/ocr?textDetThresh=0.25&useTextlineOrientation=true"
    answer = call(worker.port, "POST", path, order_png(say="x"))
    third = answer.json["pages"][0]["lines"][2]["text"]
    assert json.loads(third) == {"text_det_thresh": 0.25, "use_textline_orientation": True}


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ("textDetTresh=0.2", "textDetTresh", "no such parameter"),
        ("file=x", "file", "no such parameter"),
        ("textDetThresh=2", "textDetThresh", "less than or equal to 1"),
        ("textDetThresh=nan", "textDetThresh", "than or equal to"),
        ("useDocUnwarping=perhaps", "useDocUnwarping", "boolean"),
        ("textDetLimitSideLen=" + "9" * 5000, "textDetLimitSideLen", "textDetLimitSideLen"),
    ],
)
def test_a_wrong_parameter_is_422_and_named(
    worker: Worker, query: str, field: str, words: str
) -> None:
    answer = call(worker.port, "POST", f"/v1/ocr?{query}", order_png(say="x"))
    error = refused(answer, 422, "BadRequest")
    assert error["field"] == field
    assert words in error["message"]


def test_a_form_is_refused_with_advice(worker: Worker) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = call(worker.port, "POST", "/v1/ocr", b"--x--", headers)
    error = refused(answer, 415, "UnsupportedEncoding")
    assert "curl --data-binary @FILE" in error["message"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "gzip, identity"])
def test_a_compressed_body_is_refused(worker: Worker, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    answer = call(worker.port, "POST", "/v1/ocr", order_png(say="x"), headers)
    refused(answer, 415, "UnsupportedEncoding")


def test_content_encoding_identity_is_accepted(worker: Worker) -> None:
    headers = {"Content-Encoding": "identity"}
    assert call(worker.port, "POST", "/v1/ocr", order_png(say="x"), headers).text == "x"


def chunked(body: bytes) -> bytes:
    head = b"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked"
    return head + b"\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"


def test_a_body_over_the_limit_is_413_declared_or_not(worker: Worker) -> None:
    error = refused(worker.post(bytes(64 * 1024 + 1)), 413, "TooLarge")
    assert (error["field"], error["limit"]) == ("body", 64 * 1024)
    assert "admission.maxBody" in error["message"]
    assert status_of(raw_exchange(worker.port, chunked(bytes(64 * 1024 + 1)))) == 413
    assert status_of(raw_exchange(worker.port, chunked(order_png(say="x")))) == 200


def test_a_declared_body_over_the_limit_is_not_waited_for(worker: Worker) -> None:
    head = b"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
    with socket.create_connection(("127.0.0.1", worker.port), timeout=20) as sock:
        sock.sendall(head)
        assert status_of(sock.recv(100)) == 413


@pytest.mark.parametrize("path", ["/v1/ocr", "/ocr"])
def test_a_slow_body_is_408(worker: Worker, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc".encode()
    with socket.create_connection(("127.0.0.1", worker.port), timeout=20) as sock:
        sock.sendall(head)
        answer = sock.recv(65536)
    assert status_of(answer) == 408
    assert b"admission.timeoutSeconds" in answer


@pytest.mark.parametrize(
    "chunk", [b"zz\r\nabc\r\n", b"-5\r\nabc\r\n", b"5\r\nabcdefgh\r\n0\r\n\r\n"]
)
def test_a_body_with_broken_chunks_is_400(worker: Worker, chunk: bytes) -> None:
    head = b"POST /v1/ocr HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert status_of(raw_exchange(worker.port, head + chunk)) == 400
    assert not [event for event in worker.events() if event["level"] in ("warning", "error")]


def test_an_unknown_path_is_404_with_the_endpoints(worker: Worker) -> None:
    answer = call(worker.port, "GET", "/v2/nothing")
    error = refused(answer, 404, "NotFound")
    assert "/v2/nothing" in error["message"]
    assert "/v1/ocr" in error["message"]


def test_other_methods_are_405(worker: Worker) -> None:
    answer = call(worker.port, "DELETE", "/v1/ocr")
    error = refused(answer, 405, "MethodNotAllowed")
    assert "DELETE" in error["message"]
    assert answer.headers["Allow"] == "POST"


def test_health_is_paddlex_health(worker: Worker) -> None:
    answer = call(worker.port, "GET", "/health")
    assert answer.status == 200
    assert answer.json | {"logId": ""} == {"logId": "", "errorCode": 0, "errorMsg": "Healthy"}


def test_health_is_503_while_nothing_can_be_read(worker: Worker) -> None:
    worker.set_target(0)
    worker.until("no instance is left", lambda state: not state["instances"]["each"])
    try:
        answer = call(worker.port, "GET", "/health")
        assert (answer.status, answer.json["errorCode"]) == (503, 503)
        error = refused(worker.post(order_png(say="x")), 503, "Unavailable")
        assert "0 instances" in error["message"]
        answer = post_json(worker.port, {"file": "QQ=="})
        assert (answer.status, answer.json["errorCode"]) == (503, 503)
    finally:
        worker.set_target(1)
        worker.until_ready(1)
