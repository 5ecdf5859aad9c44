"""Pictures in a PDF: complete ones are not reported, whatever their compression."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest

from ocrpool_worker.decoding import pdf_images
from ocrpool_worker.decoding.document_page import open_document
from tests.worker import cut_files
from tests.worker.cut_files import GREY, HEIGHT, WIDTH

PIXELS = WIDTH * HEIGHT
PACKED: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "uncompressed": (b"", bytes),
    "Flate": (b"/Filter/FlateDecode", zlib.compress),
    "LZW": (b"/Filter/LZWDecode", cut_files.lzw),
    "run lengths": (b"/Filter/RunLengthDecode", cut_files.run_lengths),
}
_BROKEN = b"<</FunctionType 4/Domain[0 1 0 1]/Range[0 1 0 1 0 1 0 1]/Length 20>>"
WHOLE = {
    "black, of 4 bits": (bytes(PIXELS // 2), b"/ColorSpace/DeviceGray/BitsPerComponent 4"),
    "black, of 2 bits": (bytes(PIXELS // 4), b"/ColorSpace/DeviceGray/BitsPerComponent 2"),
    "half black, of 4 bits": (
        b"\xf0\x0f" * (PIXELS // 8) + bytes(PIXELS // 4),
        b"/ColorSpace/DeviceGray/BitsPerComponent 4",
    ),
    "black, RGB of 4 bits": (bytes(3 * PIXELS // 2), b"/ColorSpace/DeviceRGB/BitsPerComponent 4"),
}
# Invalid colours: PDFium draws nothing.
UNKNOWN = {
    "DeviceN with a broken function": b"/ColorSpace[/DeviceN[/A/B]/DeviceCMYK%s]" % _BROKEN,
    "no such space": b"/ColorSpace/Foo",
    "a profile that is not there": b"/ColorSpace[/ICCBased 99 0 R]",
    "a palette that is not there": b"/ColorSpace[/Indexed/DeviceRGB 255 99 0 R]",
}


def reasons(data: bytes, entries: bytes) -> list[str]:
    page = cut_files.pdf_with(data, entries)
    return [each.reason for each in open_document("pdf", page, 1_000_000).render(0)[1]]


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("picture", WHOLE)
def test_a_whole_picture_is_not_incomplete(picture: str, packing: str) -> None:
    data, entries = WHOLE[picture]
    filtered, pack = PACKED[packing]
    assert not reasons(pack(data), filtered + entries)


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("colours", UNKNOWN)
def test_a_picture_that_is_not_drawn_has_a_warning(colours: str, packing: str) -> None:
    filtered, pack = PACKED[packing]
    entries = filtered + UNKNOWN[colours] + b"/BitsPerComponent 8"
    page = cut_files.pdf_with(pack(b"\x10\x80" * PIXELS), entries)
    (warning,) = open_document("pdf", page, 1_000_000).render(0)[1]
    assert warning.reason == "IncompleteImage"
    assert warning.message == "image 1 of the page: it cannot be decoded, and is not drawn"


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("part", [0.4, 0.5])
def test_half_a_picture_in_complete_data_has_a_warning(packing: str, part: float) -> None:
    grey = cut_files.picture().convert("L").tobytes()
    filtered, pack = PACKED[packing]
    found = reasons(pack(grey[: int(part * PIXELS)]), filtered + GREY)
    assert found == ["IncompleteImage"]


def test_checking_a_highly_compressed_picture_needs_little_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A check for completeness would decode it again, in addition to its page."""
    monkeypatch.setattr(pdf_images, "MOST_BYTES", 3 * PIXELS - 1)
    asked: list[object] = []
    monkeypatch.setattr(pdf_images._Picture, "_drawn", asked.append)
    fax = b"/Filter/CCITTFaxDecode/DecodeParms<</K -1/Columns %d/Rows %d>>" % (WIDTH, HEIGHT)
    assert not reasons(b"\xff" * 40, fax + b"/ColorSpace/DeviceGray/BitsPerComponent 1")
    assert not reasons(zlib.compress(bytes(PIXELS // 8)), b"/Filter/FlateDecode" + GREY)
    assert not asked
