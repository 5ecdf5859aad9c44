"""Check by its markers that a JPEG is complete, without decoding it.

The markers are read like in libjpeg. Segments are skipped by their lengths, so the end marker of a
thumbnail (EXIF) does not count. Fill bytes and stray bytes between segments are skipped, and bytes
after the end are ignored.
"""

from __future__ import annotations

import random
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocrpool_worker.ipc.shared_buffer import Buffer

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

# More than any program writes, even with a thousand progressive scans.
MOST_SEGMENTS = 100_000

_MARKER = re.compile(rb"\xff[\x01-\xfe]")
# The end of a scan's entropy-coded data: any marker other than a restart marker.
_SCAN_END = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
# Lossless processes (T.81, annex H), whose pixels are not coded in blocks.
LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_LONE = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN, _IMAGE_ENDS = 0xDA, 0xD9
_END = b"\xff\xd9"
# libjpeg decodes missing data as zeros, which gives these greys (the second for CMYK).
_MISSING = (128, 65)
# Random entropy-coded data, enough to change the first missing block.
_FILLER = random.Random(0).randbytes(8192).replace(b"\xff", b"\x5a")


@dataclass(frozen=True, slots=True)
class Jpeg:
    """The facts from the markers of a JPEG.

    `complete`: the end marker is there. `height`: rows of pixels, 0 if the frame's header is
    missing.
    `one_pass`: the whole picture is in one scan, from top to bottom. `scans`: number of complete
    scans. `pixels_end`: the offset at which the data of the first scan ends or is cut off.
    `process`: the marker of the frame. `bits`: bits of a sample. Both are 0 without a frame's
    header.
    """

    complete: bool
    height: int = 0
    one_pass: bool = False
    scans: int = 0
    pixels_end: int = 0
    process: int = 0
    bits: int = 0


def examine(data: Buffer) -> Jpeg:
    """Read the markers of a JPEG."""
    height = components = begun = scans = first_end = process = bits = 0
    one_pass = True
    at, complete = 2, False
    try:
        for _ in range(MOST_SEGMENTS):
            match = _MARKER.search(data, at)
            if match is None:
                break
            marker, at = data[match.end() - 1], match.end()
            if marker == _IMAGE_ENDS:
                complete = True
                break
            if marker in _LONE:
                continue
            (length,) = struct.unpack_from(">H", data, at)
            if marker in _FRAMES and not height:
                bits, height, components = struct.unpack_from(">2xBH2xB", data, at)
                process = marker
                # For lossless processes the number of rows is not determined.
                one_pass = marker not in _PROGRESSIVE | LOSSLESS
            at += max(2, length)
            if marker == _SCAN:
                one_pass = one_pass and data[at - max(2, length) + 2] == components
                begun += 1
                match = _SCAN_END.search(data, at)
                if match is None:
                    break
                at = match.start()
                scans += 1
                first_end = first_end or at
    except (struct.error, IndexError):
        pass  # the file ends inside a segment
    one_pass = one_pass and begun == 1
    return Jpeg(complete, height, one_pass, scans, first_end or len(data), process, bits)


def rows_arrived(data: Buffer, found: Jpeg) -> int:
    """The number of rows of a one-pass JPEG that are in its data; 0 if it cannot be determined.

    The picture is decoded twice, with different bytes after the data that arrived. From the first
    row that differs on, nothing comes from this file.
    """
    if not found.one_pass or not found.height:
        return 0
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    arrived = bytes(data[: found.pixels_end]).rstrip(b"\xff")
    pictures = []
    for more in (b"", _FILLER):
        whole = np.frombuffer(arrived + more + _END, np.uint8)
        try:
            pictures.append(cv2.imdecode(whole, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION))
        except cv2.error:
            return 0
    first, second = pictures
    if first is None or second is None or first.shape != second.shape:
        return 0
    differ = np.flatnonzero((first != second).any(axis=(1, 2)))
    return int(differ[0]) if len(differ) else len(first)


def ends_early(data: Buffer, pixels: Pixels) -> int | None:
    """If the data of a JPEG, decoded as `pixels`, ends early: the number of rows that are there.
    None for a complete one.

    A file that was cut off and closed with an end marker is complete by its markers. Its last rows
    have libjpeg's grey, so only such pictures are examined again.
    """
    corners = (pixels[0, 0], pixels[0, -1], pixels[-1, 0], pixels[-1, -1])
    if not any(is_missing(corner) for corner in corners):
        return None
    found = examine(data)
    rows = rows_arrived(data, found)
    return rows if found.one_pass and rows < found.height else None


def is_missing(pixel: Pixels) -> bool:
    """Whether a pixel (BGR) has the grey that libjpeg gives pixels without data."""
    return bool(pixel.min() == pixel.max() and pixel[0] in _MISSING)
