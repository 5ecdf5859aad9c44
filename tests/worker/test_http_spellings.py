"""`POST /ocr` in every encoding of JSON, with `file` in every spelling of its bytes."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrpool_worker.errors import RequestError
from ocrpool_worker.http import request_parser
from ocrpool_worker.http.request_parser import RequestParser, WrongRequest
from tests.fake_engine import order_png, pdf_of
from tests.worker.calls import call
from tests.worker.harness import Worker, start_worker
from tests.worker.loop_probe import peak_growth, probing

MIB = 2**20
ENCODINGS = {
    "UTF-8 with a mark": "utf-8-sig",
    "UTF-16 with a mark": "utf-16",
    "UTF-16 LE": "utf-16-le",
    "UTF-16 BE": "utf-16-be",
    "UTF-32 with a mark": "utf-32",
    "UTF-32 LE": "utf-32-le",
    "UTF-32 BE": "utf-32-be",
}
SPELLINGS: dict[str, Callable[[bytes], str]] = {
    "plain": lambda data: base64.b64encode(data).decode(),
    "URL-safe without padding": lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
    "data URL": lambda data: f"data:image/png;base64,{base64.b64encode(data).decode()}",
    "data URL of lines": lambda data: f"data:;base64,{base64.encodebytes(data).decode()}",
}
# Bytes after the end of a PNG are ignored. The sizes cover all cases of `request_parser`.
SIZES = {"small": 9, "medium": MIB, "large": 9 * MIB}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with start_worker(tmp_path_factory.mktemp("worker")) as worker:
        yield worker


def said(worker: Worker, body: bytes) -> str:
    answer = call(worker.port, "POST", "/ocr", body, timeout=110)
    assert answer.status == 200, answer
    assert answer.json["logId"] == "文字"
    (page,) = answer.json["result"]["ocrResults"]
    return str(page["prunedResult"]["rec_texts"][0])


def body_of(file: str, **more: object) -> str:
    request = {"logId": "文字", "visualize": False, "file": file, **more}
    return json.dumps(request, ensure_ascii=False)


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS.keys())
def test_json_in_every_encoding_of_unicode(worker: Worker, encoding: str) -> None:
    body = body_of(base64.b64encode(order_png(say="read")).decode()).encode(encoding)
    assert said(worker, body) == "read"


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_every_spelling_in_every_size(
    worker: Worker, spell: Callable[[bytes], str], size: int
) -> None:
    data = order_png(say="read") + os.urandom(size)
    assert said(worker, body_of(spell(data)).encode()) == "read"
    # Large fields before `file` select another case.
    assert said(worker, body_of(spell(data), unknown="x" * 100_000).encode()) == "read"


def test_a_data_url_without_base64(worker: Worker) -> None:
    text = "data:application/pdf," + "".join(f"%{byte:02X}" for byte in pdf_of([{"say": "pdf"}]))
    assert said(worker, body_of(text).encode()) == "pdf"


def test_a_large_body_in_utf_16_is_converted_in_steps_and_in_its_place(worker: Worker) -> None:
    data = order_png(say="read") + os.urandom(16 * MIB)
    body = body_of(base64.b64encode(data).decode()).encode("utf-16")
    with probing(worker) as probe, peak_growth(worker) as growth:
        assert said(worker, body) == "read"
    assert probe.longest < 0.25
    assert growth["bytes"] < 2 * len(body) + 12 * MIB


@pytest.mark.parametrize(
    "body", [b"\xff\xfe{\x00\x00\xd8", b"\xff\xfe{", "{".encode("utf-16"), b"\xef\xbb\xbf{"]
)
def test_invalid_json_is_reported_in_every_encoding(worker: Worker, body: bytes) -> None:
    answer = call(worker.port, "POST", "/ocr", body)
    assert answer.status == 422
    (error,) = json.loads(answer.json["errorMsg"])
    assert (error["type"], error["loc"]) == ("json_invalid", "body")


REQUESTS = st.fixed_dictionaries(
    {"logId": st.text(max_size=40), "file": st.just("QUJD"), "fileType": st.sampled_from([0, 1])}
)


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS.keys())
@given(request=REQUESTS, step=st.integers(1, 40))
def test_conversion_steps_do_not_split_a_character(
    encoding: str, request: dict[str, object], step: int
) -> None:
    body = bytearray(json.dumps(request, ensure_ascii=False).encode(encoding))
    before, held = len(body), 0

    def hold(size: int) -> None:
        nonlocal held
        held += size

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_parser, "STEP", step)
        asyncio.run(request_parser._to_utf8(body, hold))
    assert json.loads(body) == request
    assert len(body) <= before + held, "what it grew by was told of"


def test_a_truncated_encoding_is_reported() -> None:
    async def read() -> None:
        await RequestParser(9).parse(
            bytearray('{"file":"QQ=="}'.encode("utf-16")[:-1]), lambda _: None
        )

    with pytest.raises(WrongRequest, match="the body is not utf-16: truncated data"):
        asyncio.run(read())


@pytest.mark.parametrize(("size", "left"), [(4 * MIB, 4 * MIB), (9 * MIB, 0)])
def test_memory_of_a_file_is_counted_once(size: int, left: int) -> None:
    """Also where base64 turns out not to be plain when a part of it is decoded. A large body is
    decoded in its own memory."""
    data = os.urandom(size)
    text = base64.b64encode(data)
    text = text[: 2 * MIB] + b"\\n" + text[2 * MIB :]
    held, most = 0, 0

    def hold(more: int) -> None:
        nonlocal held, most
        held += more
        most = max(most, held)

    asked = asyncio.run(RequestParser(60).parse(bytearray(b'{"file":"%s"}' % text), hold))
    assert not isinstance(asked.file, str | RequestError)
    assert bytes(asked.file) == data
    assert left <= held <= left + 9
    assert most <= size + 9
