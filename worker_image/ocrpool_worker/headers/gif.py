"""The size of a GIF: of its canvas, or of its first frame if that is larger."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ocrpool_worker.headers.errors import UnknownFormat
from ocrpool_worker.ipc.shared_buffer import Buffer

STARTS = (b"GIF87a", b"GIF89a")
EXTENSION, FRAME, END = 0x21, 0x2C, 0x3B
# Not a kind of block: the data ends where a block should begin.
NOTHING = -1
# Most blocks before the first frame (comments and the like), which is a megabyte.
MOST_BLOCKS = 4096


def size(data: Buffer) -> tuple[int, int]:
    """Raises UnknownFormat; struct.error where the header ends too early."""
    canvas_width, canvas_height = struct.unpack_from("<HH", data, 6)
    for at in frames(data, MOST_BLOCKS):
        left, top, width, height = struct.unpack_from("<4H", data, at + 1)
        return max(canvas_width, left + width), max(canvas_height, top + height)
    raise UnknownFormat("a GIF without a frame, or cut off before it")


def frames(data: Buffer, most: int) -> Iterator[int]:
    """The offset of each frame within the first `most` blocks. It ends at the end of the GIF or of
    the data; `walk` tells which."""
    yield from (at for kind, at in walk(data, most) if kind == FRAME)


def walk(data: Buffer, most: int) -> Iterator[tuple[int, int]]:
    """Yield (kind, offset) of each extension and frame, and of the end: 0x3B with the offset after
    it, or NOTHING if the data ends after a complete block. Raises struct.error if it ends within
    one.
    """
    (flags,) = struct.unpack_from("<B", data, 10)
    at = 13 + _colours(flags)
    while most > 0:
        if at == len(data):
            yield NOTHING, at
            return
        if at > len(data):
            raise struct.error
        kind = data[at]
        if kind == END:
            yield kind, at + 1
            return
        if kind not in (EXTENSION, FRAME):
            raise UnknownFormat("a GIF with a damaged block")
        yield kind, at
        if kind == EXTENSION:
            at += 2
        else:
            (flags,) = struct.unpack_from("<B", data, at + 9)
            at += 11 + _colours(flags)
        while most > 0:  # blocks of up to 255 bytes, and an empty one
            most -= 1
            if at >= len(data):
                raise struct.error
            length = data[at]
            at += 1 + length
            if not length:
                break


def _colours(flags: int) -> int:
    """The size of a colour table in bytes."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
