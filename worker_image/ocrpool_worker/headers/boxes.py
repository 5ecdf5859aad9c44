"""The boxes of ISO media files (HEIC, AVIF, MP4: ISO 14496-12) and of JPEG 2000's JP2."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ocrpool_worker.ipc.shared_buffer import Buffer

# Far more than any file has on one level.
MOST_BOXES = 4096


@dataclass(frozen=True, slots=True)
class Box:
    """`start` and `end`: offsets of its content. `end` is beyond the data if the file is cut
    off."""

    kind: bytes
    start: int
    end: int


def boxes(data: Buffer, start: int, end: int) -> Iterator[Box]:
    """The boxes from `start` to `end`, up to MOST_BOXES. It ends early at bytes that are not a
    complete header of a box."""
    at = start
    for _ in range(MOST_BOXES):
        if at + 8 > min(end, len(data)):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            if at + 16 > len(data):
                return
            (size,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        elif size == 0:  # to the end
            size = end - at
        if size < head or not all(0x20 <= letter < 0x7F for letter in kind):
            return
        yield Box(kind, at + head, at + size)
        at += size


def first(data: Buffer, kind: bytes, start: int, end: int) -> Box | None:
    """The first box of this kind."""
    return next((box for box in boxes(data, start, end) if box.kind == kind), None)
