"""JPEG 2000 that is complete but cannot be decoded, and unsupported kinds."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from ocrpool_worker.decoding.document_page import DocumentPage, EncodedImage, open_document
from ocrpool_worker.errors import NotAnImage
from tests.worker import pdf_pictures, pictures
from tests.worker.newer_pictures import jp2

_DEEP = pictures.COLOUR_PAGE.astype(np.uint16) * 257
# In the start of a codestream: how many components there are, and the depth of the first.
_COMPONENTS, _DEPTHS = 40, 42


def codestream(samples: np.ndarray) -> bytes:
    data = jp2(samples)
    return data[data.index(b"\xff\x4f\xff\x51") :]


def halved(data: bytes) -> bytes:
    """A codestream whose second half is gone, and whose lengths and end are right for what is
    left."""
    start = data.index(b"\xff\x90")  # SOT
    half = bytearray(data[: start + (len(data) - start) // 2] + b"\xff\xd9")
    struct.pack_into(">I", half, start + 6, len(half) - 2 - start)
    return bytes(half)


def read(data: bytes) -> np.ndarray:
    return EncodedImage(memoryview(data), 10**6).pixels()


@pytest.mark.parametrize(
    "samples",
    [pictures.GREY, pictures.COLOUR_PAGE, _DEEP[:, :, 0], _DEEP],
    ids=["grey", "colour", "grey, 16 bits", "colour, 16 bits"],
)
def test_an_undecodable_jpeg_2000_is_refused(samples: np.ndarray) -> None:
    whole = codestream(samples)
    assert read(whole).min() < 64
    with pytest.raises(NotAnImage, match=r"the JPEG 2000 (cannot be decoded|is damaged)"):
        read(halved(whole))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "CMYK"])
def test_a_deep_jpeg_2000_with_transparency_is_refused(mode: str) -> None:
    image = Image.fromarray(pictures.COLOUR).convert(mode)
    data = bytearray(pictures.file(image, "JPEG2000", no_jp2=True))
    (components,) = struct.unpack_from(">H", data, _COMPONENTS)
    assert components == len(mode)
    read(bytes(data))
    for number in range(components):
        data[_DEPTHS + 3 * number] = 15  # one less than the bits
    with pytest.raises(NotAnImage, match="more than 8 bits a colour and with transparency"):
        read(bytes(data))


@pytest.mark.parametrize("samples", [pictures.COLOUR_PAGE, _DEEP], ids=["8 bits", "16 bits"])
def test_an_undecodable_jpeg_2000_in_a_pdf_has_a_warning(samples: np.ndarray) -> None:
    whole = codestream(samples)
    for data, told in ((whole, []), (halved(whole), ["IncompleteImage"])):
        pdf = pdf_pictures.pdf_with(data, b"/Filter/JPXDecode/ColorSpace/DeviceRGB")
        page = DocumentPage(open_document("pdf", pdf, 10**6), 0)
        assert (page.pixels() < 64).any() == (not told)
        assert [warning.reason for warning in page.warnings] == told
