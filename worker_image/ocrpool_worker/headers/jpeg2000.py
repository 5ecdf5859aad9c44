"""JPEG 2000 (ISO 15444-1): a codestream by itself, or in the boxes of a JP2 file."""

from __future__ import annotations

import struct

from ocrpool_worker.headers.boxes import first
from ocrpool_worker.headers.errors import UnknownFormat
from ocrpool_worker.ipc.shared_buffer import Buffer

_JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
# The start of a codestream, and the marker of its size that must follow.
_CODESTREAM = b"\xff\x4f\xff\x51"
STARTS = (_JP2, _CODESTREAM)
# Decoders make room for each: no picture has more than four colours and alpha.
_MOST_COMPONENTS = 5


def codestream(data: Buffer) -> tuple[int, int]:
    """(where the codestream begins, where it should end: for one by itself the end of the data).
    Raises UnknownFormat where there is none."""
    if bytes(data[:4]) == _CODESTREAM:
        return 0, len(data)
    box = first(data, b"jp2c", 0, len(data))
    if box is None or bytes(data[box.start : box.start + 4]) != _CODESTREAM:
        raise UnknownFormat("a JP2 without a codestream, or one that breaks off before it")
    return box.start, box.end


def size(data: Buffer) -> tuple[int, int]:
    """The size that decoders go by: the codestream's, not the JP2 header's, which may differ.
    Raises UnknownFormat; struct.error where the header ends too early."""
    at, _ = codestream(data)
    right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
    (components,) = struct.unpack_from(">H", data, at + 40)
    if components > _MOST_COMPONENTS:
        raise UnknownFormat(
            f"a JPEG 2000 of {components} components; up to {_MOST_COMPONENTS} are read"
        )
    return right - left, bottom - top


def depths(data: Buffer) -> list[int]:
    """Bits of each component, of which there are as `size` has found. Raises UnknownFormat."""
    at, _ = codestream(data)
    (components,) = struct.unpack_from(">H", data, at + 40)
    return [(data[at + 42 + 3 * number] & 0x7F) + 1 for number in range(components)]
