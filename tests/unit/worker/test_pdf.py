"""Kinds of PDF: each is read, or refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest

from ocrpool_worker.decoding.document_page import open_document
from ocrpool_worker.engine.base import PageWarning
from ocrpool_worker.errors import NotAnImage
from tests.worker import pdf_kinds as kinds

MOST = 1_000_000


def drawn(data: bytes) -> tuple[np.ndarray, tuple[PageWarning, ...]]:
    """Return (where the only page is dark, its warnings)."""
    pixels, warnings = open_document("pdf", data, MOST).render(0)
    return pixels.max(axis=2) < 128, warnings


UPRIGHT, _ = drawn(kinds.hello())
SAME = {
    "an inverted box": kinds.hello(box=b"[200 100 0 0]"),
    "a negative box": kinds.hello(
        box=b"[-100 -50 100 50]", contents=b"BT /F 24 Tf -80 -10 Td (Hello) Tj ET"
    ),
    "a crop box beside the page": kinds.hello(page=b"/CropBox[500 500 700 600]"),
    "an empty crop box": kinds.hello(page=b"/CropBox[50 50 50 50]"),
    "a crop box larger than the page": kinds.hello(page=b"/CropBox[-9 -9 900 900]"),
    "a user unit": kinds.hello(page=b"/UserUnit 10"),
    "an odd rotation": kinds.hello(page=b"/Rotate 45"),
    "encrypted, without a password": kinds.encrypted(b""),
    "with a hidden stamp": kinds.stamp(b"(Stamp)").replace(b"/F 4>>", b"/F 2>>"),
}


@pytest.mark.parametrize("data", SAME.values(), ids=list(SAME.keys()))
def test_a_kind_of_pdf_is_drawn_like_the_plain_page(data: bytes) -> None:
    ink, warnings = drawn(data)
    assert not warnings
    assert np.array_equal(ink, UPRIGHT)


@pytest.mark.parametrize("degrees", [90, 180, 270, -90, 450])
def test_a_turned_page_is_turned(degrees: int) -> None:
    ink, warnings = drawn(kinds.hello(page=b"/Rotate %d" % degrees))
    assert not warnings
    back = np.rot90(ink, degrees // 90)
    assert back.shape == UPRIGHT.shape
    # Curves are rendered slightly differently when turned.
    assert np.argwhere(back).mean(axis=0) == pytest.approx(np.argwhere(UPRIGHT).mean(axis=0), abs=2)


@pytest.mark.parametrize(
    "data", [kinds.stamp(b"(Stamp)"), kinds.field(b"(Value)")], ids=["a stamp", "a form field"]
)
def test_annotations_are_drawn(data: bytes) -> None:
    ink, warnings = drawn(data)
    assert not warnings
    above = slice(20, 80)  # rows of the rectangle from 60 to 90 points
    assert ink[above].sum() > 200 > UPRIGHT[above].sum() == 0


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (kinds.encrypted(b"secret"), "needs a password to be read; save or print it without one"),
        (kinds.encrypted(b"", handler=b"Adobe.APS"), "encrypted in an unsupported way"),
    ],
    ids=["a password", "a rights management"],
)
def test_a_pdf_that_cannot_be_read_is_refused_with_the_reason(data: bytes, words: str) -> None:
    with pytest.raises(NotAnImage, match=words):
        open_document("pdf", data, MOST)


def test_an_xfa_form_has_a_warning() -> None:
    (warning,) = drawn(kinds.xfa())[1]
    assert warning.reason == "XfaForm"
    assert "print it to a PDF" in warning.message


def test_attached_files_that_could_be_read_are_named() -> None:
    assert not drawn(kinds.with_files(b"factur-x.xml", b"data.csv"))[1]
    names = [b"%d.PDF" % number for number in range(9)]
    (warning,) = drawn(kinds.with_files(b"a.xml", *names, b"scan.jpeg"))[1]
    assert warning.reason == "AttachedFiles"
    assert "0.PDF, 1.PDF, 2.PDF, 3.PDF, 4.PDF and 5 more" in warning.message
