"""Check that a JPEG 2000 is complete, and decode the kind that Pillow decodes wrongly."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from ocrpool_worker.decoding.document import decoder_errors
from ocrpool_worker.decoding.raster import from_array
from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.headers.jpeg2000 import codestream, depths, size
from ocrpool_worker.ipc.shared_buffer import Buffer

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

_PART, _END = 0xFF90, 0xFFD9
_END_MARKER = re.compile(rb"\xff\xd9")
# No program writes 100,000 tiles. The decoder decides about such a file.
_MOST_PARTS = 100_000


def describe_truncation(data: Buffer) -> str | None:
    """Say how much of an incomplete file arrived; None for a complete one. Raises UnknownFormat."""
    at, end = codestream(data)
    if end > len(data):
        return f"{len(data)} of {end} bytes arrived"
    at += 2
    parts = 0
    try:
        for _ in range(_MOST_PARTS):
            (marker,) = struct.unpack_from(">H", data, at)
            if marker == _END:
                return None
            if marker == _PART:
                (length,) = struct.unpack_from(">I", data, at + 6)
                if length == 0:  # to the end marker
                    return None if _ends(data, at) else _describe(parts, data)
                at += max(14, length)
            elif marker >> 8 != 0xFF:  # wrong lengths, which a decoder may not need
                return None if _ends(data, at) else _describe(parts, data)
            else:
                (length,) = struct.unpack_from(">H", data, at + 2)
                at += 2 + length
            parts += marker == _PART and at <= len(data)
    except struct.error:
        return _describe(parts, data)
    return None


def _ends(data: Buffer, at: int) -> bool:
    """Whether there is an end marker, which never occurs inside compressed data."""
    return _END_MARKER.search(data, at) is not None


def _describe(parts: int, data: Buffer) -> str:
    arrived = f"{parts} of its tile-parts arrived completely"
    return f"{arrived}, and after {len(data)} bytes there is no end marker"


def is_deep_colour(data: Buffer) -> bool:
    """Whether it has several components of more than 8 bits. Pillow 13 turns their white into black
    (it rounds up, and 256 is 0 in a byte). Raises UnknownFormat."""
    bits = depths(data)
    return len(bits) != 1 and max(bits) > 8


def decode_deep_colour(data: bytes) -> Pixels:
    """Decode such a file with PDFium, as a picture on the page of a PDF. Raises NotAnImage."""
    if len(depths(data)) != 3:
        raise NotAnImage(
            "a JPEG 2000 of more than 8 bits a colour and with transparency (or in CMYK) is not "
            "supported; convert it to PNG, or to 8 bits",
            field="file",
        )
    import pypdfium2  # noqa: PLC0415

    width, height = size(data)
    with decoder_errors("the JPEG 2000 cannot be decoded"):
        document = pypdfium2.PdfDocument(_pdf_of(data, width, height))
        # If PDFium cannot decode a picture, it silently draws nothing.
        pixels = document[0].render(scale=1, fill_color=(0, 0, 0, 0)).to_numpy()
        if pixels.shape != (height, width, 4) or (pixels[:, :, 3] != 255).any():
            raise NotAnImage(
                "the JPEG 2000 is damaged: its pixels cannot be decoded; save it again from the "
                "original",
                field="file",
            )
        return from_array(pixels)


def _pdf_of(data: bytes, width: int, height: int) -> bytes:
    """A PDF of one page that shows this picture with one point for each pixel."""
    draw = b"q %d 0 0 %d 0 0 cm /I Do Q" % (width, height)
    image = b"<</Type/XObject/Subtype/Image/Width %d/Height %d/ColorSpace/DeviceRGB" % (
        width,
        height,
    )
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d %d]/Contents 4 0 R" % (width, height)
    out, offsets = b"%PDF-1.7\n", []
    for number, content in enumerate(
        (
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
            page + b"/Resources<</XObject<</I 5 0 R>>>>>>",
            b"<</Length %d>>stream\n%s\nendstream" % (len(draw), draw),
            image + b"/Filter/JPXDecode/Length %d>>stream\n%s\nendstream" % (len(data), data),
        ),
        1,
    ):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"xref\n0 6\n0000000000 65535 f \n%strailer<</Size 6/Root 1 0 R>>\n" % table
    return out + end + b"startxref\n%d\n%%%%EOF\n" % len(out)
