"""GIF: the canvas, and the first frame, which may be larger."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ocrpool_worker.headers.errors import UnknownFormat
from ocrpool_worker.ipc.shared_buffer import Buffer

STARTS = (b"GIF87a", b"GIF89a")
EXTENSION, FRAME, END = 0x21, 0x2C, 0x3B
# No block of a file: the data ends where one should follow.
NOTHING = -1
# Blocks of comments and the like before the first frame: a megabyte of them.
MOST_BLOCKS = 4096


def size(data: Buffer) -> tuple[int, int]:
    """Raises UnknownFormat; struct.error where the header ends too early."""
    canvas_width, canvas_height = struct.unpack_from("<HH", data, 6)
    for at in frames(data, MOST_BLOCKS):
        left, top, width, height = struct.unpack_from("<4H", data, at + 1)
        return max(canvas_width, left + width), max(canvas_height, top + height)
    raise UnknownFormat("a GIF without a frame, or one that breaks off before it")


def frames(data: Buffer, most: int) -> Iterator[int]:
    """Where each frame begins that is told of within the first `most` blocks. It ends without a
    word at the end of the GIF or of the data; `walk` tells which."""
    yield from (at for kind, at in walk(data, most) if kind == FRAME)


def walk(data: Buffer, most: int) -> Iterator[tuple[int, int]]:
    """(kind, offset) of each extension and frame, and of the end: 0x3B with the offset after it, or
    NOTHING where the data ends after a whole block. Raises struct.error where it ends within one.
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
    """Bytes of a table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
