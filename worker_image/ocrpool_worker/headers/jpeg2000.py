"""Sizes of JPEG 2000 (ISO 15444-1): a bare codestream, or one in the boxes of a JP2 file."""

from __future__ import annotations

import struct

from ocrpool_worker.headers.boxes import first
from ocrpool_worker.headers.errors import UnknownFormat
from ocrpool_worker.ipc.shared_buffer import Buffer

_JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
# The start of a codestream, and the marker of the size that must follow.
_CODESTREAM = b"\xff\x4f\xff\x51"
STARTS = (_JP2, _CODESTREAM)
# Decoders allocate memory for each component. No picture has more than four colours and alpha.
_MOST_COMPONENTS = 5


def codestream(data: Buffer) -> tuple[int, int]:
    """Return the offsets (begin, expected end) of the codestream. A bare one ends with the data.

    Raises UnknownFormat if there is none.
    """
    if bytes(data[:4]) == _CODESTREAM:
        return 0, len(data)
    box = first(data, b"jp2c", 0, len(data))
    if box is None or bytes(data[box.start : box.start + 4]) != _CODESTREAM:
        raise UnknownFormat("a JP2 without a codestream, or cut off before it")
    return box.start, box.end


def size(data: Buffer) -> tuple[int, int]:
    """The size in the codestream. Decoders use it, and not the JP2 header's, which may differ.

    Raises UnknownFormat, and struct.error if the header ends too early.
    """
    at, _ = codestream(data)
    right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
    (components,) = struct.unpack_from(">H", data, at + 40)
    if components > _MOST_COMPONENTS:
        raise UnknownFormat(
            f"a JPEG 2000 of {components} components; up to {_MOST_COMPONENTS} are read"
        )
    return right - left, bottom - top


def depths(data: Buffer) -> list[int]:
    """The bits of each component. `size` has checked their number. Raises UnknownFormat."""
    at, _ = codestream(data)
    (components,) = struct.unpack_from(">H", data, at + 40)
    return [(data[at + 42 + 3 * number] & 0x7F) + 1 for number in range(components)]
