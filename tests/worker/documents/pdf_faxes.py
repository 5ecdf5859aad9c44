"""PDFs whose page is a picture of one bit a pixel, in the codings of faxes and archives."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

from tests.worker.documents.drawing import TICKET, packed_bits, ticket
from tests.worker.documents.kind import Kind
from tests.worker.documents.pdfs import DRAW, GREY, flate, image, ink, pdf, scan, stream
from tests.worker.documents.tiffs import group4

_BILEVEL = b"/ColorSpace/DeviceGray/BitsPerComponent 1"


def _jbig2(pixels: np.ndarray) -> bytes:
    """One generic region, coded like a Group 4 fax (ISO 14492, 6.2.6)."""
    height, width = pixels.shape

    def segment(number: int, kind: int, data: bytes) -> bytes:
        return struct.pack(">IBBBI", number, kind, 0, 1, len(data)) + data

    page = struct.pack(">IIIIBH", width, height, 0, 0, 0, 0)
    region = struct.pack(">IIIIBB", width, height, 0, 0, 0, 1)
    return segment(0, 48, page) + segment(1, 38, region + group4(Image.fromarray(~pixels)))


def jbig2() -> bytes:
    return scan(stream(image(_BILEVEL + b"/Filter/JBIG2Decode"), _jbig2(ink())))


def mixed_raster() -> bytes:
    """A page of paper, and over it a dark one that shows only through a mask of the letters."""
    paper = flate(image(GREY, width=60, height=23), bytes([250]) * 60 * 23)
    dark = flate(image(GREY + b"/Mask 7 0 R", width=60, height=23), bytes([25]) * 60 * 23)
    mask = image(b"/ImageMask true/BitsPerComponent 1/Decode[1 0]/Filter/JBIG2Decode")
    return pdf(
        DRAW + b" " + DRAW.replace(b"/I", b"/J"),
        b"/XObject<</I 5 0 R/J 6 0 R>>",
        paper,
        dark,
        stream(mask, _jbig2(~ink())),
    )


def stencil() -> bytes:
    """The page is a mask that the ink is poured through."""
    return scan(flate(image(b"/ImageMask true/BitsPerComponent 1"), packed_bits(~ink())))


def turned_fax() -> bytes:
    """Bits the wrong way round, and a Decode array that puts them right."""
    width, height = ticket().size
    data = group4(Image.fromarray(ink()))
    coding = b"/Filter/CCITTFaxDecode/DecodeParms<</K -1/Columns %d/Rows %d>>/Decode[1 0]"
    return scan(stream(image(_BILEVEL + coding % (width, height)), data))


def black_is_one() -> bytes:
    width, height = ticket().size
    data = group4(Image.fromarray(ink()))
    coding = b"/Filter/CCITTFaxDecode/DecodeParms<</K -1/Columns %d/Rows %d/BlackIs1 true>>"
    return scan(stream(image(_BILEVEL + coding % (width, height)), data))


_BY_HAND = "PDF built from bytes"

KINDS = (
    Kind(
        "scan coded as JBIG2",
        "ocrmypdf/OCRmyPDF#48",
        f"{_BY_HAND}, generic region with the fax coder",
        jbig2,
        TICKET,
    ),
    Kind(
        "MRC scan: dark layer behind a mask of the letters",
        "docling-project/docling#4329",
        f"{_BY_HAND}, /Mask coded as JBIG2",
        mixed_raster,
        TICKET,
    ),
    Kind("page that is a stencil (ImageMask)", "ocrmypdf/OCRmyPDF#63", _BY_HAND, stencil, TICKET),
    Kind(
        "fax in a PDF with Decode [1 0]",
        "yfedoseev/pdf_oxide#856",
        f"{_BY_HAND}, Group 4 of Pillow",
        turned_fax,
        TICKET,
    ),
    Kind(
        "fax in a PDF with BlackIs1",
        "pikepdf/pikepdf#269",
        f"{_BY_HAND}, Group 4 of Pillow",
        black_is_one,
        TICKET,
    ),
)
