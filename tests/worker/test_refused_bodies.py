"""Invalid or too large files are refused and never reach an instance."""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_engine import order_png, pdf_of, png, tiff_of
from tests.worker.harness import Worker, start_worker

MAX_PAGES = 3


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trace") / "trace"


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, trace: Path) -> Iterator[Worker]:
    settings = {
        "engine": {"options": {"trace": str(trace)}},
        "admission": {"maxPages": MAX_PAGES},
    }
    with start_worker(tmp_path_factory.mktemp("worker"), settings=settings) as worker:
        yield worker


@pytest.fixture(autouse=True)
def untouched(worker: Worker, trace: Path) -> Iterator[None]:
    """After each test, the instance must be the same process, alive, without having read
    anything."""
    before = worker.state()["instances"]
    yield
    after = worker.state()
    assert [one["pid"] for one in after["instances"]["each"]] == [
        one["pid"] for one in before["each"]
    ]
    assert after["counters"]["deaths"] == 0
    assert after["counters"]["pages"] == 0
    assert not trace.exists(), trace.read_text()
    assert after["ready"]


NO_IMAGES = {
    "text": b"this is no picture",
    "html": b"<html><body>not found</body></html>",
    "start of a PNG": order_png(say="cut")[:12],
    "zeros": bytes(1000),
    "GIF": b"GIF89a\x01\x00\x01\x00\x00\x00\x00;",
}


@pytest.mark.parametrize("body", NO_IMAGES.values(), ids=NO_IMAGES.keys())
def test_not_an_image_is_422(worker: Worker, body: bytes) -> None:
    refused = worker.counters()["refused"]
    answer = worker.post(body)
    assert (answer.status, answer.reason) == (422, "NotAnImage"), answer
    assert worker.counters()["refused"] == refused + 1


def test_not_an_image_is_422_in_paddlex_shape(worker: Worker) -> None:
    body = json.dumps({"file": b64encode(b"no picture").decode(), "fileType": 1, "logId": "mine"})
    answer = worker.post(body.encode(), "/ocr")
    assert answer.status == 422
    assert answer.json["errorCode"] == 422
    assert answer.json["logId"] == "mine"


BROKEN_LATER = {
    "PNG without its end": order_png(say="cut" * 200)[:-150],
    "PDF of garbage": b"%PDF-1.4\n" + b"garbage " * 50,
    "PDF without pages": pdf_of([]),
    "TIFF without its end": tiff_of([{"say": "a"}, {"say": "b"}])[:300],
}


@pytest.mark.parametrize("body", BROKEN_LATER.values(), ids=BROKEN_LATER.keys())
def test_an_error_of_a_decoder_is_422(worker: Worker, body: bytes) -> None:
    answer = worker.post(body)
    assert (answer.status, answer.reason) == (422, "NotAnImage"), answer


def bomb() -> bytes:
    """A valid PNG of 30,000 × 30,000 black pixels, one bit each: 110 KB that expand to 2.7 GB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 30_000 // 8)
    data = b"".join(packer.compress(row * 100) for _ in range(300)) + packer.flush()
    parts = [b"\x89PNG\r\n\x1a\n"]
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    for name, content in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
        checksum = struct.pack(">I", zlib.crc32(name + content))
        parts += [struct.pack(">I", len(content)), name, content, checksum]
    return b"".join(parts)


@pytest.mark.parametrize(
    "body",
    [bomb(), png(30_000, 30_000, b""), png(501, 500, b"")],
    ids=["bomb", "claims to be one", "just over"],
)
def test_too_many_megapixels_are_413_before_decoding(worker: Worker, body: bytes) -> None:
    accepted = worker.counters()["requests"]
    answer = worker.post(body)
    assert (answer.status, answer.reason) == (413, "TooLarge"), answer
    assert "admission.maxMegapixels" in answer.message
    assert answer.json["error"]["limit"] == 0.25
    # An instance would also refuse it, but the file must not reach one.
    assert worker.counters()["requests"] == accepted


@pytest.mark.parametrize("make", [pdf_of, tiff_of], ids=["PDF", "TIFF"])
def test_too_many_pages_are_413(worker: Worker, make: type[bytes]) -> None:
    answer = worker.post(make([{"say": str(number)} for number in range(MAX_PAGES + 1)]))
    assert (answer.status, answer.reason) == (413, "TooLarge"), answer
    assert "admission.maxPages" in answer.message
    assert answer.json["error"]["limit"] == MAX_PAGES
