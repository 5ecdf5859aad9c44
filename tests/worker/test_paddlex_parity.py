"""`POST /ocr` compared with PaddleX's own service: the same requests give the same fields and
values.

docs/http.md lists the intended differences; the last tests here show them.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from PIL import Image

from tests.worker.calls import call, file_request, post_json
from tests.worker.client import Answer, Worker
from tests.worker.paddlex_server import paddlex_server
from tools.bench.lib.samples import SamplePage, document_page, document_pdf, mixed_set

pytestmark = pytest.mark.timeout(400)
SAMPLES: dict[str, SamplePage] = {sample.name: sample for sample in mixed_set()}
PNG, JPEG = SAMPLES["card"].data, SAMPLES["photo"].data


class Both(NamedTuple):
    """Sends each request to PaddleX and to the worker."""

    theirs: int
    ours: int

    def post(self, body: object) -> tuple[Answer, Answer]:
        return post_json(self.theirs, body), post_json(self.ours, body)


@pytest.fixture(scope="module")
def both(
    models: Any, paddle_worker: Worker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    log = tmp_path_factory.mktemp("paddlex") / "log"
    with paddlex_server(models, log) as port:
        yield Both(port, paddle_worker.port)


def tiff(frames: int) -> bytes:
    first, *rest = [document_page(number)[0] for number in range(1, frames + 1)]
    out = io.BytesIO()
    first.save(out, "TIFF", save_all=True, append_images=rest)
    return out.getvalue()


def blank() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (200, 100), "white").save(out, "PNG")
    return out.getvalue()


def quiet(data: bytes, **fields: object) -> dict[str, object]:
    return file_request(data, visualize=False, **fields)


VALID: dict[str, dict[str, object]] = {
    "PNG": quiet(PNG, fileType=1),
    "JPEG": quiet(JPEG, fileType=1, logId="a log id / 文字"),
    "JPEG with EXIF": quiet(SAMPLES["exif-turned"].data, fileType=1),
    "grey PNG": quiet(SAMPLES["grey"].data, fileType=1),
    "PNG with alpha": quiet(SAMPLES["alpha"].data, fileType=1),
    "palette PNG": quiet(SAMPLES["sign"].data, fileType=1),
    "PDF of two pages": quiet(document_pdf(2), fileType=0),
    "TIFF of two frames": quiet(tiff(2), fileType=1),
    "TIFF of one frame": quiet(tiff(1), fileType=1),
    "no text": quiet(blank(), fileType=1),
    "detector": quiet(
        JPEG, fileType=1, textDetLimitSideLen=320, textDetLimitType="max", textDetThresh=0.2
    ),
    "boxes": quiet(JPEG, fileType=1, textDetBoxThresh=0.8, textDetUnclipRatio=2.5),
    "scores": quiet(JPEG, fileType=1, textRecScoreThresh=0.99),
    "words": quiet(PNG, fileType=1, returnWordBox=True),
    "words of an EXIF-turned JPEG": quiet(
        SAMPLES["exif-turned"].data, fileType=1, returnWordBox=True
    ),
    "words of a PDF": quiet(document_pdf(2), fileType=0, returnWordBox=True),
    "words where there is no text": quiet(blank(), fileType=1, returnWordBox=True),
    "no words": quiet(PNG, fileType=1, returnWordBox=False),
    "many at once": quiet(
        JPEG,
        fileType=1,
        textDetLimitSideLen=480,
        textDetLimitType="min",
        textDetThresh=0.25,
        textDetBoxThresh=0.5,
        textDetUnclipRatio=1.8,
        textRecScoreThresh=0.5,
        returnWordBox=True,
        useDocUnwarping=False,
        logId="many",
    ),
    "no page is turned": quiet(PNG, fileType=1, useDocOrientationClassify=False),
    "no line is turned": quiet(PNG, fileType=1, useTextlineOrientation=False),
    "truth as text and numbers": quiet(
        PNG, fileType=1, returnWordBox="true", useDocUnwarping="no", useTextlineOrientation=0
    ),
    "all off": quiet(
        PNG,
        fileType=1,
        useDocOrientationClassify=False,
        useDocUnwarping=False,
        useTextlineOrientation=False,
    ),
    "nulls": quiet(PNG, fileType=1, textDetThresh=None, logId=None, useDocUnwarping=None),
    "numbers as text": quiet(PNG, fileType=1, textDetThresh="0.3", textDetLimitSideLen="64"),
    "unknown field": quiet(PNG, fileType=1, colour="blue"),
}


@pytest.mark.parametrize("request_body", VALID.values(), ids=VALID.keys())
def test_the_answer_equals_paddlex(both: Both, request_body: dict[str, object]) -> None:
    theirs, ours = both.post(request_body)
    assert (theirs.status, ours.status) == (200, 200), (theirs, ours)
    log_ids = theirs.json["logId"], ours.json["logId"]
    assert log_ids[0] == log_ids[1] or request_body.get("logId") is None
    assert list(ours.json) == list(theirs.json), "the same keys, in the same order"
    assert shape(ours.json) == shape(theirs.json)
    assert ours.json["result"] == same(theirs.json["result"])
    assert (ours.json["errorCode"], ours.json["errorMsg"]) == (0, "Success")


def same(value: Any) -> Any:
    """The value, with scores compared up to their last bits."""
    if isinstance(value, dict):
        return {key: same(item) for key, item in value.items()}
    if isinstance(value, list):
        return [same(item) for item in value]
    return pytest.approx(value, abs=1e-5) if isinstance(value, float) else value


def shape(value: Any) -> Any:
    """The keys of a value at every level, and the types of their values."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


ENCODINGS = ["utf-8-sig", "utf-16", "utf-16-be", "utf-32-le"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_answer_equals_paddlex_in_every_encoding_of_json(both: Both, encoding: str) -> None:
    body = json.dumps(quiet(PNG, fileType=1, logId="文字"), ensure_ascii=False).encode(encoding)
    theirs, ours = (
        call(port, "POST", "/ocr", body, {"Content-Type": "application/json"}, timeout=300)
        for port in both
    )
    assert (theirs.status, ours.status) == (200, 200), (theirs, ours)
    assert ours.json["result"] == same(theirs.json["result"])
    assert ours.json["logId"] == theirs.json["logId"] == "文字"


def picture_of(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def as_form(form: str, **save: object) -> bytes:
    out = io.BytesIO()
    picture_of(PNG).save(out, form, **save)
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [as_form("JPEG2000"), as_form("JPEG2000", no_jp2=True), as_form("PPM")],
    ids=["JP2", "JPEG 2000 codestream", "PPM"],
)
def test_the_answer_equals_paddlex_for_formats_that_opencv_knows(both: Both, data: bytes) -> None:
    theirs, ours = both.post(quiet(data, fileType=1))
    assert (theirs.status, ours.status) == (200, 200), (theirs, ours)
    assert ours.json["result"] == same(theirs.json["result"])


@pytest.mark.parametrize(
    "data",
    [
        as_form("GIF"),
        as_form("AVIF"),
        as_form("WEBP", save_all=True, append_images=[picture_of(PNG).rotate(180)]),
    ],
    ids=["GIF", "AVIF", "animated WebP"],
)
def test_difference_formats_that_opencv_does_not_know(both: Both, data: bytes) -> None:
    theirs, ours = both.post(quiet(data, fileType=1))
    assert (theirs.status, ours.status) == (422, 200), (theirs, ours)


@pytest.mark.parametrize(
    "file",
    [
        "data:image/png;base64," + base64.b64encode(PNG).decode(),
        base64.urlsafe_b64encode(PNG).decode(),
        base64.b64encode(PNG + bytes(3 - len(PNG) % 3 + 1)).decode().rstrip("="),
    ],
    ids=["data URL", "URL-safe", "without padding"],
)
def test_difference_spellings_of_base64(both: Both, file: str) -> None:
    theirs, ours = both.post({"file": file, "fileType": 1, "visualize": False})
    assert (theirs.status, ours.status) == (422, 200), (theirs, ours)


@pytest.mark.parametrize(
    "more", [{}, {"visualize": True}, {"visualize": None}, {"returnWordBox": True}]
)
def test_the_pictures_equal_paddlex(both: Both, more: dict[str, object]) -> None:
    theirs, ours = both.post(file_request(JPEG, fileType=1, **more))
    (their_page,), (our_page,) = (answer.json["result"]["ocrResults"] for answer in (theirs, ours))
    assert list(our_page) == list(their_page)
    assert {"ocrImage", "inputImage"} <= set(our_page)
    for name in set(our_page) - {"prunedResult"}:
        assert picture(our_page[name]).size == picture(their_page[name]).size, name
    assert our_page["inputImage"] == their_page["inputImage"]


def picture(text: str) -> Image.Image:
    found = Image.open(io.BytesIO(base64.b64decode(text)))
    assert found.format == "JPEG"
    return found


def test_a_large_picture_is_returned_as_small_as_from_paddlex(both: Both) -> None:
    out = io.BytesIO()
    Image.new("RGB", (2600, 300), "white").save(out, "PNG")
    answers = both.post(file_request(out.getvalue(), fileType=1, textDetLimitType="max"))
    sizes = [
        picture(answer.json["result"]["ocrResults"][0]["inputImage"]).size for answer in answers
    ]
    assert sizes[0] == sizes[1] == (2000, 230)


WRONG: dict[str, object] = {
    "no file": {"logId": "mine"},
    "file is a number": {"file": 3, "logId": "mine"},
    "unknown fileType": {"file": "QQ==", "fileType": 7, "logId": "mine"},
    "visualize is a word": {"file": "QQ==", "fileType": 1, "visualize": "maybe", "logId": "mine"},
    "words for numbers": {
        "file": "QQ==",
        "fileType": 1,
        "textDetThresh": "much",
        "textDetLimitSideLen": 1.5,
        "logId": "mine",
    },
    "not an object": [],
    "null": None,
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG.keys())
def test_invalid_requests_get_the_same_error_as_from_paddlex(both: Both, body: object) -> None:
    theirs, ours = both.post(json.dumps(body))
    assert (theirs.status, ours.status) == (422, 422), (theirs, ours)
    assert list(ours.json) == list(theirs.json) == ["logId", "errorCode", "errorMsg"]
    assert ours.json["errorCode"] == theirs.json["errorCode"] == 422
    if isinstance(body, dict):
        assert ours.json["logId"] == theirs.json["logId"] == "mine"
    our_list, their_list = (json.loads(answer.json["errorMsg"]) for answer in (ours, theirs))
    assert [set(one) for one in our_list] == [{"type", "loc", "msg"}] * len(our_list)

    def places(found: list[dict[str, str]]) -> list[tuple[str, str]]:
        return sorted((one["loc"], one["type"].removesuffix("_attributes_type")) for one in found)

    if isinstance(body, dict):
        assert places(our_list) == places(their_list)
    else:
        assert [one["loc"] for one in our_list] == ["body"]


UNREADABLE: dict[str, object] = {
    "not an image": {"file": "aGVsbG8=", "fileType": 1, "logId": "mine"},
    "empty": {"file": "", "fileType": 1, "logId": "mine"},
    "not a PDF": {**quiet(PNG), "fileType": 0, "logId": "mine"},
    "a PDF as an image": {**quiet(document_pdf(1)), "fileType": 1, "logId": "mine"},
    "cut image": {**quiet(JPEG[:200]), "fileType": 1, "logId": "mine"},
    "not base64": {"file": "A", "fileType": 1, "logId": "mine"},
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_unreadable_files_get_the_same_status_as_from_paddlex(both: Both, body: object) -> None:
    theirs, ours = both.post(body)
    assert (theirs.status, ours.status) == (422, 422), (theirs, ours)
    for answer in (theirs, ours):
        assert list(answer.json) == ["logId", "errorCode", "errorMsg"]
        assert (answer.json["errorCode"], answer.json["logId"]) == (422, "mine")


def test_the_same_health_and_the_same_shape_of_404_and_405(both: Both) -> None:
    for port in both:
        answer = call(port, "GET", "/health")
        assert answer.status == 200
        assert list(answer.json) == ["logId", "errorCode", "errorMsg"]
        assert (answer.json["errorCode"], answer.json["errorMsg"]) == (0, "Healthy")
        answer = call(port, "GET", "/ocr")
        assert (answer.status, answer.json["errorCode"]) == (405, 405)
        assert list(answer.json) == ["logId", "errorCode", "errorMsg"]


def test_difference_a_missing_file_type_is_detected(both: Both) -> None:
    for data, kind in ((PNG, "image"), (document_pdf(1), "pdf")):
        theirs, ours = both.post(quiet(data))
        assert (theirs.status, ours.status) == (422, 200)
        assert ours.json["result"]["dataInfo"]["type"] == kind


def test_difference_transparent_pictures_are_drawn_on_white(both: Both) -> None:
    """PaddleX uses the colour of transparent pixels, which is that of the text here."""
    page = SAMPLES["card"]
    ink = Image.open(io.BytesIO(page.data)).convert("L").point(lambda grey: 255 * (grey < 128))
    picture = Image.new("RGBA", ink.size, (0, 0, 0, 0))
    picture.putalpha(ink)
    out = io.BytesIO()
    picture.save(out, "PNG")
    answers = both.post(quiet(out.getvalue(), fileType=1))
    assert [answer.status for answer in answers] == [200, 200]
    theirs, ours = (
        answer.json["result"]["ocrResults"][0]["prunedResult"]["rec_texts"] for answer in answers
    )
    assert theirs == []
    assert set(ours) & set(page.lines)


def test_difference_all_pages_are_read_not_only_ten(both: Both) -> None:
    theirs, ours = both.post(quiet(document_pdf(11), fileType=0))
    counts = [answer.json["result"]["dataInfo"]["numPages"] for answer in (theirs, ours)]
    assert counts == [10, 11]
    assert len(ours.json["result"]["ocrResults"]) == 11


def test_difference_parameters_on_which_paddlex_fails_are_refused_by_name(both: Both) -> None:
    for wrong in ({"textDetLimitType": "middle"}, {"textDetLimitSideLen": -5}):
        _, ours = both.post(quiet(PNG, fileType=1, **wrong))
        assert ours.status == 422
        assert next(iter(wrong)) in ours.json["errorMsg"]


@pytest.mark.parametrize(
    "switch", ["useDocOrientationClassify", "useDocUnwarping", "useTextlineOrientation"]
)
def test_difference_a_part_that_is_not_loaded_is_named(both: Both, switch: str) -> None:
    theirs, ours = both.post(quiet(PNG, fileType=1, logId="mine", **{switch: True}))
    assert (theirs.status, ours.status) == (500, 422), (theirs, ours)
    assert ours.json["logId"] == "mine"
    assert "stage one with `ocrpool-worker models stage`" in ours.json["errorMsg"]


def test_difference_a_number_as_log_id_is_refused_and_no_500(both: Both) -> None:
    theirs, ours = both.post({"file": "QQ==", "fileType": 1, "logId": 5})
    assert (theirs.status, ours.status) == (500, 422)
    assert "body.logId" in ours.json["errorMsg"]
