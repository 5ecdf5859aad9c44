"""Check that compressed pictures in a PDF are complete, for kinds that only PDFs contain."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

# A stream may end with a line end or some padding. This many bytes are examined.
_TAIL = 64
# Two ends of line: the end of a block of fax data (T.6), and of a page (T.4; with a bit after each
# if rows are coded in two dimensions).
_FAX_ENDS = ("000000000001" * 2, "0000000000011" * 2)
_MOST_SEGMENTS = 100_000
_UNKNOWN_LENGTH = 0xFFFFFFFF


def jpx_ends(data: bytes) -> bool:
    """Whether JPEG 2000 data has its end marker, which never occurs inside a codestream."""
    return b"\xff\xd9" in data[-_TAIL:]


def ccitt_ends(data: bytes, drawn: Callable[[], Pixels | None]) -> bool:
    """Whether fax data is complete: it has an end marker, or the bits that its last rows need.

    Each empty row at the end takes one bit (T.6: V0). `drawn` returns the picture.
    """
    tail = "".join(f"{byte:08b}" for byte in data[-_TAIL:])
    if any(end in tail for end in _FAX_ENDS):
        return True
    pixels = drawn()
    if pixels is None or not len(pixels):
        return True
    empty = 0
    last = pixels[-1]
    if (last == last.flat[0]).all():
        for row in pixels[::-1]:
            if (row != last).any():
                break
            empty += 1
    bits = "".join(f"{byte:08b}" for byte in data[-(_TAIL + empty // 8) :]).rstrip("0")
    return len(bits) - len(bits.rstrip("1")) >= empty


def jbig2_ends(data: bytes) -> bool:
    """Whether the last segment of embedded JBIG2 data is complete."""
    at = 0
    try:
        for _ in range(_MOST_SEGMENTS):
            if at >= len(data) or not data[at:].strip(b"\r\n\0"):
                return True
            number, flags, referred = struct.unpack_from(">IBB", data, at)
            at += 5
            if referred >> 5 < 5:
                count, at = referred >> 5, at + 1
            else:
                (count,) = struct.unpack_from(">I", data, at)
                count &= 0x1FFFFFFF
                at += 4 + (count + 8) // 8
            at += count * (1 if number <= 256 else 2 if number <= 65536 else 4)
            at += 4 if flags & 0x40 else 1
            (length,) = struct.unpack_from(">I", data, at)
            at += 4
            if length == _UNKNOWN_LENGTH:
                return True  # it ends with its last row
            if at + length > len(data):
                return False
            at += length
    except struct.error:
        return False
    return True
