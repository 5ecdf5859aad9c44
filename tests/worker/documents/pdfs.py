"""How the PDFs of these kinds are put together."""

from __future__ import annotations

import hashlib
import zlib

import numpy as np

from tests.worker.bombs import pdf_of
from tests.worker.documents.drawing import ticket

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


_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def _rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out = bytearray()
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def protected(user: bytes = b"") -> bytes:
    """Encrypted with 40 bits (ISO 32000-1, 7.6.3): an owner's password, and this one to open it."""
    known, permissions = b"0123456789abcdef", (2**32 - 44).to_bytes(4, "little")
    owner = _rc4(_md5((b"landlord" + _PADDING)[:32])[:5], (user + _PADDING)[:32])
    key = _md5((user + _PADDING)[:32] + owner + permissions + known)[:5]
    check = _rc4(key, _PADDING)

    def of_object(number: int, data: bytes) -> bytes:
        return _rc4(_md5(key + number.to_bytes(3, "little") + b"\0\0")[:10], data)

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
