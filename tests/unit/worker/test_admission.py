"""Admission: the kind and size of files, and refused files."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from ocrpool_worker.admission import Kind, admit, check_scaling, is_pdf
from ocrpool_worker.errors import NotAnImage, TooLarge
from ocrpool_worker.settings import AdmissionSettings

LIMITS = AdmissionSettings(max_megapixels=1)


def encoded(form: str, width: int = 30, height: int = 20) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, form)
    return out.getvalue()


def png_header(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" + head + struct.pack(">I", zlib.crc32(head))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "WEBP"])
@pytest.mark.parametrize("expected", ["image", None])
def test_an_image_is_admitted_with_its_size(form: str, expected: Kind | None) -> None:
    admitted = admit(encoded(form), LIMITS, expected=expected)
    assert (admitted.kind, admitted.width, admitted.height) == ("image", 30, 20)


def test_a_tiff_is_admitted_as_an_image() -> None:
    assert admit(encoded("TIFF"), LIMITS, expected="image").kind == "tiff"


def test_a_30000_by_30000_png_is_refused_by_its_header_alone() -> None:
    with pytest.raises(
        TooLarge, match=r"30000×30000 = 900\.0 megapixels, the limit is 1"
    ) as caught:
        admit(png_header(30_000, 30_000), LIMITS)
    assert (caught.value.status, caught.value.field, caught.value.limit) == (413, "file", 1)


def test_the_limit_itself_is_admitted() -> None:
    assert admit(png_header(1000, 1000), LIMITS).width == 1000
    with pytest.raises(TooLarge):
        admit(png_header(1000, 1001), LIMITS)


@pytest.mark.parametrize(("width", "height"), [(0, 10), (10, 0)])
def test_a_page_without_pixels_is_refused(width: int, height: int) -> None:
    with pytest.raises(NotAnImage, match="pixels"):
        admit(png_header(width, height), LIMITS)


@pytest.mark.parametrize("data", [b"", b"hello", b"GIF89a" + bytes(50), b"<svg/>", bytes(1000)])
def test_an_unknown_format_is_refused(data: bytes) -> None:
    with pytest.raises(NotAnImage) as caught:
        admit(data, LIMITS)
    assert (caught.value.status, caught.value.field) == (422, "file")


@pytest.mark.parametrize(
    ("data", "pdf"),
    [
        (b"%PDF-1.7\n", True),
        (b"garbage" * 100 + b"%PDF-1.4", True),
        (b"\n" * 1024 + b"%PDF-1.4", False),
        (encoded("PNG")[:40] + b"%PDF-1.4", False),
        (b"\xff\xd8\xff\xe1%PDF-1.4", False),
        (b"II+\x00%PDF-1.4", False),
        (b"", False),
    ],
)
def test_a_pdf_is_found_where_readers_look_for_it(data: bytes, pdf: bool) -> None:
    assert is_pdf(data) is pdf


def test_a_file_type_other_than_the_detected_one_is_refused() -> None:
    assert admit(b"%PDF-1.7", LIMITS, expected="pdf").kind == "pdf"
    with pytest.raises(NotAnImage, match="send fileType 0") as caught:
        admit(b"%PDF-1.7", LIMITS, expected="image")
    assert caught.value.field == "fileType"
    with pytest.raises(NotAnImage, match="an image is fileType 1") as caught:
        admit(encoded("PNG"), LIMITS, expected="pdf")
    assert caught.value.field == "fileType"


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"text_det_limit_side_len": 960},
        {"text_det_limit_side_len": 900, "text_det_limit_type": "min"},
        {"text_det_limit_side_len": 100_000, "text_det_limit_type": "max"},
        {"text_det_limit_type": "min"},
    ],
)
def test_scaling_within_the_limit_is_admitted(params: dict[str, object]) -> None:
    check_scaling(100, 100, params, LIMITS)


def test_scaling_a_page_over_the_limit_is_refused() -> None:
    with pytest.raises(TooLarge, match=r"this page of 400×100 up to 4\.0") as caught:
        check_scaling(400, 100, {"text_det_limit_side_len": 1000}, LIMITS)
    assert (caught.value.field, caught.value.limit) == ("textDetLimitSideLen", 1)


def test_the_scaling_of_a_document_is_not_checked_at_admission() -> None:
    check_scaling(0, 0, {"text_det_limit_side_len": 100_000}, LIMITS)
