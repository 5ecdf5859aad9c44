"""Sizes of PNG, JPEG, BMP, WebP and TIFF."""

from __future__ import annotations

import re
import struct

from ocrpool_worker.headers.errors import UnknownFormat
from ocrpool_worker.ipc.shared_buffer import Buffer

# More segments than a JPEG of the largest body has if all are full, and more tags than any known
# TIFF has.
MOST_SEGMENTS = 4096
MOST_TAGS = 4096
# Decoders skip stray bytes between the segments of a JPEG. This is the most of them in one file.
MOST_STRAY_BYTES = 64 * 1024

PNG_START = b"\x89PNG\r\n\x1a\n"
_MARKER = re.compile(rb"\xff[\x01-\xfe]")
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})
_PIXELS_FOLLOW, _IMAGE_ENDS = 0xDA, 0xD9
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
# TIFF's types of a whole number, and how their one value is unpacked.
_TIFF_NUMBERS = {3: "H", 4: "I", 16: "Q"}


def png(start: bytes) -> tuple[int, int]:
    length, kind, width, height = struct.unpack_from(">I4sII", start, 8)
    if kind != b"IHDR" or length != 13:
        raise UnknownFormat("a PNG begins with IHDR")
    return width, height


def jpeg(data: Buffer) -> tuple[int, int]:
    at, stray = 2, 0
    for _ in range(MOST_SEGMENTS):
        found = _MARKER.search(data, at, at + MOST_STRAY_BYTES)
        if found is None:
            raise UnknownFormat("a JPEG without the start of a frame")
        stray += found.start() - at
        if stray > MOST_STRAY_BYTES:
            raise UnknownFormat("a JPEG with stray bytes between its segments")
        marker, at = data[found.end() - 1], found.end()
        if marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">3xHH", data, at)
            return width, height
        if marker in (_PIXELS_FOLLOW, _IMAGE_ENDS):
            raise UnknownFormat("a JPEG whose pixels come before its size")
        if marker not in _LONE_MARKERS:
            (length,) = struct.unpack_from(">H", data, at)
            at += max(2, length)
    raise UnknownFormat(f"a JPEG with more than {MOST_SEGMENTS} segments before its size")


def bmp(start: bytes) -> tuple[int, int]:
    (size,) = struct.unpack_from("<I", start, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", start, 18)
    return width, abs(height)  # a negative height: rows from the top


def webp(start: bytes) -> tuple[int, int]:
    kind = start[12:16]
    if kind == b"VP8X":
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", start, 24)
        return (high_width << 16 | low_width) + 1, (high_height << 16 | low_height) + 1
    if kind == b"VP8L":
        mark, packed = struct.unpack_from("<BI", start, 20)
        if mark != 0x2F:
            raise UnknownFormat("a WebP with a damaged header")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        mark, width, height = struct.unpack_from("<3x3sHH", start, 20)
        if mark != b"\x9d\x01\x2a":
            raise UnknownFormat("a WebP with a damaged header")
        return width & 0x3FFF, height & 0x3FFF
    raise UnknownFormat("a WebP with a damaged header")


def tiff(data: Buffer, start: bytes, *, big: bool) -> tuple[int, int]:
    order = "<" if start.startswith(b"II") else ">"
    offset, count = ("Q", "Q") if big else ("I", "H")
    (at,) = struct.unpack_from(order + offset, start, 8 if big else 4)
    if at >= len(data):
        raise UnknownFormat("a TIFF whose first directory is not in the file")
    (tags,) = struct.unpack_from(order + count, data, at)
    at += struct.calcsize(order + count)
    entry = struct.Struct(order + "HH" + offset)
    width_of_value = struct.calcsize(order + offset)
    sides: dict[int, int] = {}
    for _ in range(min(tags, MOST_TAGS)):
        tag, kind, values = entry.unpack_from(data, at)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT) and tag not in sides:
            number = _TIFF_NUMBERS.get(kind)
            if number is None or values != 1 or struct.calcsize(number) > width_of_value:
                raise UnknownFormat("a TIFF whose size is not a number")
            (sides[tag],) = struct.unpack_from(order + number, data, at + entry.size)
            if len(sides) == 2:
                return sides[_TIFF_WIDTH], sides[_TIFF_HEIGHT]
        at += entry.size + width_of_value
    raise UnknownFormat("a TIFF without a size")
