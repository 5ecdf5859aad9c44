"""Helpers that build the PDFs of these kinds."""

from __future__ import annotations

import hashlib
import zlib

import numpy as np

from tests.worker.bombs import pdf_of
from tests.worker.documents.drawing import ticket
from tests.worker.pdf_kinds import PADDING, rc4

# The ticket at 200 dpi, in points.
WIDTH, HEIGHT = (side * 72 / 200 for side in ticket().size)
BOX = b"[0 0 %.2f %.2f]" % (WIDTH, HEIGHT)
DRAW = b"q %.2f 0 0 %.2f 0 0 cm /I Do Q" % (WIDTH, HEIGHT)
GREY = b"/ColorSpace/DeviceGray/BitsPerComponent 8"
HELVETICA = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"


def stream(entries: bytes, data: bytes) -> bytes:
    return b"<<%s/Length %d>>stream\n%s\nendstream" % (entries, len(data), data)


def flate(entries: bytes, data: bytes) -> bytes:
    return stream(entries + b"/Filter/FlateDecode", zlib.compress(data))


def image(entries: bytes, *, width: int = 0, height: int = 0) -> bytes:
    """The entries of an image as large as the ticket, or of another size."""
    of_ticket = ticket().size
    size = b"/Width %d/Height %d" % (width or of_ticket[0], height or of_ticket[1])
    return b"/Type/XObject/Subtype/Image" + size + entries


def pdf(
    contents: bytes,
    resources: bytes,
    *objects: bytes,
    box: bytes = BOX,
    page: bytes = b"",
    catalog: bytes = b"",
    trailer: bytes = b"",
) -> bytes:
    """A PDF of one page whose further objects have the numbers from 5 on."""
    return pdf_of(
        b"<</Type/Catalog/Pages 2 0 R%s>>" % catalog,
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox %s/Contents 4 0 R/Resources<<%s>>%s>>"
        % (box, resources, page),
        stream(b"", contents),
        *objects,
        extra=trailer,
    )


def scan(picture: bytes, *objects: bytes, **rest: bytes) -> bytes:
    """A PDF whose page is one image, object 5."""
    return pdf(DRAW, b"/XObject<</I 5 0 R>>", picture, *objects, **rest)


def grey_scan() -> bytes:
    return flate(image(GREY), ticket().tobytes())


def ink() -> np.ndarray:
    """Where the ticket is written on."""
    return np.asarray(ticket()) < 128


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def protected(user: bytes = b"") -> bytes:
    """Encrypted with 40 bits (ISO 32000-1, 7.6.3): an owner's password, and this one to open it."""
    known, permissions = b"0123456789abcdef", (2**32 - 44).to_bytes(4, "little")
    owner = rc4(_md5((b"landlord" + PADDING)[:32])[:5], (user + PADDING)[:32])
    key = _md5((user + PADDING)[:32] + owner + permissions + known)[:5]
    check = rc4(key, PADDING)

    def of_object(number: int, data: bytes) -> bytes:
        return rc4(_md5(key + number.to_bytes(3, "little") + b"\0\0")[:10], data)

    page = (
        b"<</Type/Page/Parent 2 0 R/MediaBox %s/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>"
    )
    picture = zlib.compress(ticket().tobytes())
    entries = image(GREY + b"/Filter/FlateDecode")
    secret = b"<</Filter/Standard/V 1/R 2/P -44/O<%s>/U<%s>>>"
    return pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        page % BOX,
        stream(b"", of_object(4, DRAW)),
        stream(entries, of_object(5, picture)),
        secret % (owner.hex().encode(), check.hex().encode()),
        extra=b"/Encrypt 6 0 R/ID[<%s><%s>]" % (known.hex().encode(), known.hex().encode()),
    )
