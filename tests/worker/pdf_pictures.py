"""Cases of the matrix for PDF (see `pictures`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tests.worker import bombs, tiffs
from tests.worker.pictures import (
    AS_DRAWN,
    BILEVEL,
    BILEVEL_PAGE,
    COLOUR,
    COLOUR_PAGE,
    CONVERTED,
    COVER,
    GREY,
    HEIGHT,
    READ,
    SCALED,
    WIDTH,
    WORD_PAGE,
    Case,
    Feature,
    exif,
    file,
)

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels


def pdfs() -> Iterator[Case]:
    def pdf(feature: Feature, name: str, pixels: bytes, entries: bytes, page: Pixels) -> Case:
        done = {"orientation": AS_DRAWN, "transparency": AS_DRAWN, "CMYK": CONVERTED}
        data = pdf_with(pixels, entries)
        text = name in ("soft mask", "palette")
        return Case("PDF", feature, done.get(feature, READ), name, data, page, 4, text=text)

    rgb = b"/ColorSpace/DeviceRGB/BitsPerComponent 8"
    grey = b"/ColorSpace/DeviceGray/BitsPerComponent "
    yield pdf("plain", "JPEG", file(GREY, "JPEG"), b"/Filter/DCTDecode" + grey + b"8", WORD_PAGE)
    yield pdf("plain", "uncompressed", COLOUR.tobytes(), rgb, COLOUR_PAGE)
    packed = tiffs.packed(BILEVEL, ">", 1)
    yield pdf("plain", "bilevel", packed, grey + b"1", BILEVEL_PAGE)
    masked = rgb + b"/SMask 6 0 R"
    yield pdf("transparency", "soft mask", bytes(WIDTH * HEIGHT * 3), masked, WORD_PAGE)
    # The page determines how a picture on it is turned, and not the picture's EXIF data.
    turned = file(GREY, "JPEG", exif=exif(3))
    entries = b"/Filter/DCTDecode" + grey + b"8"
    yield pdf("orientation", "JPEG of orientation 3", turned, entries, WORD_PAGE)
    sixteen = (GREY.astype(">u2") * 257).tobytes()
    yield Case("PDF", "depth", SCALED, "16 bits", pdf_with(sixteen, grey + b"16"), WORD_PAGE, 4)
    ramp = b"".join(bytes([value] * 3) for value in range(256)).hex().encode()
    indexed = b"/ColorSpace[/Indexed/DeviceRGB 255<" + ramp + b">]/BitsPerComponent 8"
    yield pdf("palette", "palette", GREY.tobytes(), indexed, WORD_PAGE)
    inks = np.dstack([np.zeros((HEIGHT, WIDTH, 3), np.uint8), 255 - GREY]).tobytes()
    cmyk = b"/ColorSpace/DeviceCMYK/BitsPerComponent 8"
    yield Case("PDF", "CMYK", CONVERTED, "CMYK", pdf_with(inks, cmyk), WORD_PAGE, 12)


def pdf_with(pixels: bytes, entries: bytes) -> bytes:
    """A PDF of a page that is this image, a pixel for a pixel at 144 dpi. A soft mask is object
    6."""
    size = b"/Subtype/Image/Width %d/Height %d" % (WIDTH, HEIGHT)
    draw = b"q %g 0 0 %g 0 0 cm /I Do Q" % (WIDTH / 2, HEIGHT / 2)
    box = b"/MediaBox[0 0 %g %g]" % (WIDTH / 2, HEIGHT / 2)
    page = (
        b"<</Type/Page/Parent 2 0 R" + box + b"/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>"
    )
    mask = size + b"/ColorSpace/DeviceGray/BitsPerComponent 8"
    return bombs.pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        page,
        b"<</Length %d>>stream\n%s\nendstream" % (len(draw), draw),
        stream(b"<</Type/XObject" + size + entries, pixels),
        stream(b"<</Type/XObject" + mask, COVER.tobytes()),
    )


def stream(head: bytes, data: bytes) -> bytes:
    return head + b"/Length %d>>stream\n%s\nendstream" % (len(data), data)


CASES = tuple(pdfs())
