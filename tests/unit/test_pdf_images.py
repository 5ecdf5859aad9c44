"""Pictures in a PDF: what is whole is not called incomplete, however it is packed."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest

from ocrpool_worker.decoding.pages import open_document
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
    "of colours that cannot be made out": (
        b"\x80\x10" * PIXELS,
        b"/ColorSpace[/DeviceN[/A/B]/DeviceCMYK%s]/BitsPerComponent 8" % _BROKEN,
    ),
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
@pytest.mark.parametrize("part", [0.4, 0.5])
def test_half_of_a_picture_that_is_packed_as_a_whole_is(packing: str, part: float) -> None:
    grey = cut_files.picture().convert("L").tobytes()
    filtered, pack = PACKED[packing]
    found = reasons(pack(grey[: int(part * PIXELS)]), filtered + GREY)
    assert found == ["IncompleteImage"]
