"""Kinds of documents from the trackers of OCR projects are read as docs/documents.md says.

`make bench-documents` reads all of them. The tests here read those that depend on code of this
project, and one of each family of the others.
"""

from __future__ import annotations

import numpy as np
import pytest

from ocrpool_worker.decoding.image import EncodedImage
from ocrpool_worker.decoding.jpeg import decode_otherwise
from ocrpool_worker.errors import NotAnImage, TooLarge
from tests.worker.client import Worker
from tests.worker.documents import jpegs
from tests.worker.documents.drawing import encoded, ticket
from tests.worker.documents.everything import KINDS
from tests.worker.documents.kind import Kind, as_expected, judged

pytestmark = pytest.mark.timeout(400)

TRIED = (
    "lossless JPEG (SOF3) of medical devices",
    "JPEG of 12 bits a sample",
    "motion photo: a film behind the JPEG",
    "PNG of one bit whose palette has white first",
    "BMP with run lengths (RLE8)",
    "fax TIFF with the lowest bit first (FillOrder 2)",
    "TIFF with a thumbnail as second frame",
    "TIFF with the JPEG of TIFF 6.0 (compression 6)",
    "MRC scan: dark layer behind a mask of the letters",
    "protected against changes, opens without a password",
    "opens with a password only",
    "layer that is switched off",
    "filled form without drawn values (NeedAppearances)",
    "dynamic XFA form",
    "screenshot in dark mode",
)


@pytest.mark.parametrize("name", TRIED)
def test_a_reported_kind_is_read_as_documented(paddle_worker: Worker, name: str) -> None:
    (kind,) = (kind for kind in KINDS if kind.name == name)
    answer = paddle_worker.post(kind.make(), timeout=300)
    verdict, said = judged(kind, answer.status, answer.json)
    assert as_expected(kind, verdict, said), f"{verdict}: {said}"


def test_every_kind_has_a_name_a_thread_and_a_file_of_its_own() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 40
    assert len({kind.make() for kind in KINDS}) == len(KINDS)
    for kind in KINDS:
        repository, _, number = kind.reported.partition("#")
        assert repository.count("/") == 1, kind
        assert number.isdigit(), kind
        assert (kind.told == "") == (kind.verdict == "read"), kind


def kind_of(*says: str) -> Kind:
    return Kind("a kind", "owner/name#1", "drawn", bytes, says)


def test_verdicts_distinguish_readings() -> None:
    def verdict(kind: Kind, *texts: str) -> str:
        return judged(kind, 200, {"pages": [{"lines": [{"text": text} for text in texts]}]})[0]

    kind = kind_of("Chairs", "Tables")
    assert verdict(kind, "Tables", "Chairs") == "read"
    assert verdict(kind, "Chairs", "Tab1es") == "with mistakes"
    assert verdict(kind, "Chairs", "Tables", "|") == "with mistakes"
    assert verdict(kind) == "not read"
    assert verdict(kind_of(), "dust") == "not read"
    assert verdict(kind_of()) == "read"


def test_a_lossless_jpeg_is_read_to_the_last_grey() -> None:
    page = EncodedImage(memoryview(jpegs.lossless()), 1_000_000)
    expected = np.repeat(np.asarray(ticket())[:, :, None], 3, axis=2)
    assert np.array_equal(page.pixels(), expected)


def test_a_lossless_jpeg_over_the_limit_is_refused_before_decoding() -> None:
    with pytest.raises(TooLarge, match="maxMegapixels"):
        decode_otherwise(jpegs.lossless(), 1000)


@pytest.mark.parametrize(
    ("marker", "name"),
    [(0xC5, "hierarchical"), (0xC9, "arithmetic coding"), (0xCB, "lossless, arithmetic coding")],
)
def test_the_error_for_a_rare_jpeg_process_names_it(marker: int, name: str) -> None:
    data = bytearray(encoded(ticket(), "JPEG"))
    data[data.index(b"\xff\xc0") + 1] = marker
    with pytest.raises(NotAnImage, match=f"not read: {name}; convert it"):
        decode_otherwise(bytes(data), 1_000_000)
