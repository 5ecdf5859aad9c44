"""Whether a JPEG 2000 file is there to its end."""

from __future__ import annotations

import re
import struct

from ocrpool_worker.headers.jpeg2000 import codestream
from ocrpool_worker.ipc.mailbox import Buffer

_PART, _END = 0xFF90, 0xFFD9
_END_MARKER = re.compile(rb"\xff\xd9")
# A picture of 100,000 tiles is none that a program wrote, and the decoder shall say what it thinks.
_MOST_PARTS = 100_000


def missing(data: Buffer) -> str | None:
    """How much arrived of one that is not complete, None where it is. Raises Unknown."""
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
                    return None if _ends(data, at) else _said(parts, data)
                at += max(14, length)
            elif marker >> 8 != 0xFF:  # lengths that are wrong: a decoder may do without them
                return None if _ends(data, at) else _said(parts, data)
            else:
                (length,) = struct.unpack_from(">H", data, at + 2)
                at += 2 + length
            parts += marker == _PART and at <= len(data)
    except struct.error:
        return _said(parts, data)
    return None


def _ends(data: Buffer, at: int) -> bool:
    """Whether there is an end marker, which no compressed data has in its middle."""
    return _END_MARKER.search(data, at) is not None


def _said(parts: int, data: Buffer) -> str:
    arrived = f"{parts} of its tile-parts arrived whole"
    return f"{arrived}, and after {len(data)} bytes there is no end marker"
