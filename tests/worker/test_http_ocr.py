"""`POST /ocr`: PaddleX's requests, answers and shape of errors."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fake_engine import order_png, pdf_of, png, tiff_of
from tests.worker.calls import call, file_request, post_json
from tests.worker.client import Answer
from tests.worker.harness import Worker, start_worker


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    settings = {"admission": {"maxBody": "1Mi", "maxPages": 5}}
    with start_worker(tmp_path_factory.mktemp("worker"), settings=settings) as worker:
        yield worker


def refused(answer: Answer, status: int = 422) -> str:
    """Check the shape of an error, and return its message."""
    assert answer.status == status, answer
    assert set(answer.json) == {"logId", "errorCode", "errorMsg"}
    assert answer.json["errorCode"] == status
    assert answer.json["logId"]
    return str(answer.json["errorMsg"])


def wrong_fields(answer: Answer) -> list[str]:
    """The fields that a validation error names."""
    return [one["loc"] for one in json.loads(refused(answer))]


def texts(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    results = answer.json["result"]["ocrResults"]
    return [page["prunedResult"]["rec_texts"][0] for page in results]


def test_an_image_is_answered_in_paddlex_fields(worker: Worker) -> None:
    page = order_png(say="hello")
    answer = post_json(worker.port, file_request(page, fileType=1, visualize=False, logId="mine"))
    assert texts(answer) == ["hello"]
    assert answer.headers["Content-Type"] == "application/json"
    found = answer.json
    assert {key: found[key] for key in found if key != "result"} == {
        "logId": "mine",
        "errorCode": 0,
        "errorMsg": "Success",
    }
    assert found["result"]["dataInfo"].keys() == {"width", "height", "type"}
    assert found["result"]["dataInfo"]["type"] == "image"
    (page_result,) = found["result"]["ocrResults"]
    assert set(page_result) == {"prunedResult"}


@pytest.mark.parametrize(
    ("make", "kind", "file_type"), [(pdf_of, "pdf", 0), (tiff_of, "tiff", 1), (pdf_of, "pdf", None)]
)
def test_a_document_is_answered_page_by_page(
    worker: Worker, make: Any, kind: str, file_type: int | None
) -> None:
    document = make([{"say": "one"}, {"say": "two"}, {"say": "three"}])
    answer = post_json(worker.port, file_request(document, fileType=file_type, visualize=False))
    assert texts(answer) == ["one", "two", "three"]
    info = answer.json["result"]["dataInfo"]
    assert (info["type"], info["numPages"], len(info["pages"])) == (kind, 3, 3)
    assert all(set(page) == {"width", "height"} for page in info["pages"])


def test_a_tiff_of_one_frame_is_an_image(worker: Worker) -> None:
    answer = post_json(worker.port, file_request(tiff_of([{"say": "only"}]), visualize=False))
    assert texts(answer) == ["only"]
    assert answer.json["result"]["dataInfo"]["type"] == "image"


def test_pictures_are_returned_by_default_and_on_request(worker: Worker) -> None:
    for more in ({}, {"visualize": None}, {"visualize": True}):
        answer = post_json(worker.port, file_request(order_png(say="seen"), **more))
        (page,) = answer.json["result"]["ocrResults"]
        for name in ("ocrImage", "inputImage"):
            assert base64.b64decode(page[name]).startswith(b"\xff\xd8\xff"), name


def test_parameters_reach_the_engine_under_their_snake_case_names(worker: Worker) -> None:
    request = file_request(
        order_png(say="p"),
        visualize=False,
        textDetLimitSideLen=64,
        textDetLimitType="max",
        textDetThresh=0.25,
        useTextlineOrientation=False,
        unknownFields="are ignored, as PaddleX does",
    )
    answer = post_json(worker.port, request)
    third = answer.json["result"]["ocrResults"][0]["prunedResult"]["rec_texts"][2]
    assert json.loads(third) == {
        "text_det_limit_side_len": 64,
        "text_det_limit_type": "max",
        "text_det_thresh": 0.25,
        "use_textline_orientation": False,
    }


def test_an_unsupported_parameter_is_422(worker: Worker) -> None:
    answer = post_json(worker.port, file_request(order_png(say="x"), useDocUnwarping=True))
    assert "useDocUnwarping" in refused(answer)


def test_a_request_without_a_log_id_is_given_one(worker: Worker) -> None:
    answers = [post_json(worker.port, body) for body in (file_request(order_png(say="x")), "{")]
    idents = {str(uuid.UUID(answer.json["logId"])) for answer in answers}
    assert len(idents) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"logId": "mine"},
        {"logId": "mine", "file": 3},
        {"logId": "mine", "file": "QQ==", "fileType": 9},
        {"logId": "mine", "file": "!"},
        {"logId": "mine", "file": "QQ=="},
        {"logId": "mine", "file": "http://127.0.0.1:1/x"},
        {"logId": "mine", **file_request(png(30_000, 30_000, b""))},
    ],
)
def test_errors_carry_the_log_id_of_their_request(worker: Worker, body: object) -> None:
    answer = post_json(worker.port, body)
    refused(answer, answer.status)
    assert answer.json["logId"] == "mine"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["body.file"]),
        ({"file": 3}, ["body.file"]),
        ({"file": "", "fileType": 3, "visualize": "maybe"}, ["body.fileType", "body.visualize"]),
        ({"file": "", "textDetThresh": "much"}, ["body.textDetThresh"]),
        ({"file": "", "textDetLimitSideLen": 0}, ["body.textDetLimitSideLen"]),
        ({"file": "", "logId": 5}, ["body.logId"]),
        ([], ["body"]),
        ("", ["body"]),
        ("{", ["body"]),
        ("nonsense", ["body"]),
        ("null", ["body"]),
        ('{"file": "\\ud800"}', ["body"]),
        ("[" * 100_000, ["body"]),
    ],
)
def test_wrong_json_names_its_fields(worker: Worker, body: object, fields: list[str]) -> None:
    assert wrong_fields(post_json(worker.port, body)) == fields


@pytest.mark.parametrize("body", [b"\xff\xfe", b"\x00" * 50, b"--x\r\nContent-Disposition: form"])
def test_a_body_that_is_not_json_is_422(worker: Worker, body: bytes) -> None:
    assert wrong_fields(call(worker.port, "POST", "/ocr", body)) == ["body"]


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("", "empty"),
        ("A", "not base64"),
        ("QQ=", "none of PNG, JPEG, BMP, WebP, TIFF"),
        ("文字", "not base64"),
        ("data:image/png", "a data URL without a comma"),
        ("page.png", "the name of a file"),
        ("QUFB", "none of PNG, JPEG, BMP, WebP, TIFF"),
    ],
)
def test_an_invalid_file_is_422(worker: Worker, file: str, words: str) -> None:
    assert words in refused(post_json(worker.port, {"file": file}))


def test_file_type_must_fit_the_file(worker: Worker) -> None:
    page, document = order_png(say="x"), pdf_of([{"say": "x"}])
    assert "fileType 0" in refused(post_json(worker.port, file_request(document, fileType=1)))
    assert "fileType 1" in refused(post_json(worker.port, file_request(page, fileType=0)))


def test_limits_are_413_and_say_what_to_change(worker: Worker) -> None:
    message = refused(post_json(worker.port, file_request(png(30_000, 30_000, b""))), 413)
    assert "admission.maxMegapixels" in message
    message = refused(post_json(worker.port, file_request(pdf_of([{"say": "x"}] * 6))), 413)
    assert "admission.maxPages" in message
    message = refused(post_json(worker.port, file_request(bytes(2 * 2**20))), 413)
    assert "admission.maxBody" in message
    huge = file_request(order_png(say="x"), textDetLimitSideLen=50_000)
    assert "textDetLimitSideLen" in refused(post_json(worker.port, huge), 413)


def test_a_url_is_refused_by_default(worker: Worker) -> None:
    message = refused(post_json(worker.port, {"file": "http://127.0.0.1:9/x.png"}))
    assert "http.fetchUrls" in message


def test_other_methods_keep_the_shape(worker: Worker) -> None:
    answer = call(worker.port, "GET", "/ocr")
    assert "it supports POST" in refused(answer, 405)
    assert answer.headers["Allow"] == "POST"


def test_compressed_bodies_are_refused(worker: Worker) -> None:
    answer = call(worker.port, "POST", "/ocr", b"\x1f\x8b", {"Content-Encoding": "gzip"})
    assert "uncompressed" in refused(answer, 415)
