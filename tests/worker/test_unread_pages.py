"""A document with one page that cannot be read: the text of the other pages is returned, and the
broken page is reported."""

from __future__ import annotations

import asyncio
import json
import struct
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from ocrpool import AsyncInstancePool, InstancePool, Page
from ocrpool_worker.errors import NotAnImage, RequestError, TooLarge
from tests.fake_engine import order_png, pdf_of, tiff_of
from tests.worker.client import Worker
from tests.worker.harness import ENGINE, ROOT, SETTINGS, start_worker

ORDERS = [{"say": "first"}, {"say": "second"}, {"say": "third"}]


def damaged_pdf(*numbers: int) -> bytes:
    """Three pages, of which these (counted from 1) are broken."""
    pieces = pdf_of(ORDERS).split(b"/Type/Page/")
    marks = [b"/Type/Pago/" if at + 1 in numbers else b"/Type/Page/" for at in range(3)] + [b""]
    return b"".join(piece + mark for piece, mark in zip(pieces, marks, strict=True))


def pdf_with_a_huge_page() -> bytes:
    """Its second page would have over a quarter of a megapixel at a tenth of 72 dpi."""
    pieces = pdf_of(ORDERS).split(b"/MediaBox [0 0 ")
    pieces[2] = b"99999 99999]" + pieces[2][pieces[2].index(b"/Contents") :]
    return b"/MediaBox [0 0 ".join(pieces)


def undecodable_tiff() -> bytes:
    """The second of three frames claims to be compressed, but is not."""
    data = tiff_of(ORDERS)
    compression = struct.pack("<HHI", 259, 3, 1)
    at = data.index(compression, data.index(compression) + 1) + len(compression)
    return data[:at] + b"\x05\x00" + data[at + 2 :]


def damaged_tiff() -> bytes:
    """The second of three frames claims to be 0 pixels wide."""
    data = tiff_of(ORDERS)
    width = struct.pack("<HHI", 256, 4, 1)
    at = data.index(width, data.index(width) + 1) + len(width)
    return data[:at] + bytes(4) + data[at + 4 :]


DAMAGED = {
    "a PDF": (damaged_pdf(2), "NotAnImage", "page 2 of the PDF cannot be read"),
    "a PDF with a huge page": (pdf_with_a_huge_page(), "TooLarge", "page 2 is 10000×10000"),
    "a TIFF of damaged pixels": (undecodable_tiff(), "NotAnImage", "TIFF is damaged"),
    "a TIFF": (damaged_tiff(), "NotAnImage", "page 2 of the TIFF has no pixels"),
}
EACH = pytest.mark.parametrize(
    ("data", "reason", "words"), DAMAGED.values(), ids=list(DAMAGED.keys())
)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with start_worker(tmp_path_factory.mktemp("unread"), instances=2) as worker:
        yield worker


@EACH
def test_the_page_has_its_error_and_the_others_their_text(
    worker: Worker, data: bytes, reason: str, words: str
) -> None:
    before = worker.counters()
    answer = worker.post(data)
    assert answer.status == 200, answer
    first, second, third = answer.json["pages"]
    assert (first["lines"][0]["text"], third["lines"][0]["text"]) == ("first", "third")
    assert "error" not in first
    assert second["lines"] == []
    assert (second["width"], second["height"]) == (0, 0)
    assert second["error"]["reason"] == reason
    assert words in second["error"]["message"]
    after = worker.counters()
    assert (after["answered"], after["unread"]) == (before["answered"] + 1, before["unread"] + 1)


@EACH
def test_paddlex_has_no_place_for_it(worker: Worker, data: bytes, reason: str, words: str) -> None:
    body = {"file": b64encode(data).decode(), "visualize": False}
    answer = worker.post(json.dumps(body).encode(), "/ocr")
    assert answer.status == (413 if reason == "TooLarge" else 422)
    assert words in answer.json["errorMsg"]


def test_a_document_without_any_page_that_can_be_read_is_422(worker: Worker) -> None:
    answer = worker.post(damaged_pdf(1, 2, 3))
    assert (answer.status, answer.reason) == (422, "NotAnImage"), answer
    assert "page 1 of the PDF cannot be read" in answer.message


def test_the_worker_says_how_many_pages_it_could_not_read(worker: Worker) -> None:
    worker.post(damaged_pdf(1, 3))
    metrics = worker.control("GET", "/metrics").body.decode()
    assert f"ocrpool_unread_total {worker.counters()['unread']}.0" in metrics


@pytest.fixture(scope="module")
def pool() -> Iterator[InstancePool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with InstancePool(**arguments()) as pool:
            yield pool


def arguments() -> dict[str, Any]:
    names = ("admission", "memory", "recycle")
    return {"instances": 1, "engine": ENGINE, "settings": {name: SETTINGS[name] for name in names}}


def told(pages: list[Page]) -> list[str]:
    """The text of each page, or the reason of its error."""
    return [page.lines[0].text if page.lines else page.error.reason for page in pages]  # type: ignore[union-attr]


@EACH
def test_in_a_program_it_is_raised_or_given(
    pool: InstancePool, data: bytes, reason: str, words: str
) -> None:
    kind = {"NotAnImage": NotAnImage, "TooLarge": TooLarge}[reason]
    with pytest.raises(kind, match=words):
        pool.read(data)
    with pytest.raises(kind, match=words):
        pool.submit(data).result()
    pages = pool.read(data, return_errors=True)
    assert told(pages) == told(pool.submit(data, return_errors=True).result())
    assert told(pages) == ["first", reason, "third"]
    assert isinstance(pages[1].error, kind)
    assert (pages[1].text, pages[1].width, pages[1].height) == ("", 0, 0)


def test_in_a_run_over_many_inputs_the_others_go_on(pool: InstancePool) -> None:
    inputs = [order_png(say="a"), damaged_pdf(2), b"garbage", damaged_pdf(1, 2, 3)]
    found = list(pool.map(inputs, return_errors=True))
    pages = [page for page in found if isinstance(page, Page)]
    assert told(pages) == ["a", "first", "NotAnImage", "third"]
    assert [(page.source, page.number) for page in pages] == [(0, 0), (1, 0), (1, 1), (1, 2)]
    assert [isinstance(each, RequestError) for each in found] == [False] * 4 + [True] * 2

    given: list[Page] = []
    with pytest.raises(NotAnImage, match="page 2"):
        given.extend(pool.map(inputs))
    assert told(given) == ["a", "first"]


def test_in_an_asyncio_program_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    async def run() -> tuple[list[Page], list[Page | RequestError]]:
        async with AsyncInstancePool(**arguments()) as pool:
            with pytest.raises(NotAnImage, match="page 2"):
                await pool.read(damaged_pdf(2))
            with pytest.raises(NotAnImage, match="page 2"):
                [page async for page in pool.map([damaged_pdf(2)])]
            pages = await pool.read(damaged_pdf(2), return_errors=True)
            return pages, [page async for page in pool.map([damaged_pdf(2)], return_errors=True)]

    read, mapped = asyncio.run(run())
    assert told(read) == told(mapped) == ["first", "NotAnImage", "third"]  # type: ignore[arg-type]
