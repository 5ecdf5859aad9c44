"""Whether a JPEG is there to its end, found out from its markers and without decoding it.

Everything is taken as libjpeg takes it: segments are skipped by their lengths, so that an end
marker in a thumbnail (EXIF) is none of this picture; fill bytes and rubbish between segments are
passed over; what comes after the end is not looked at.
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

# Far beyond any file that a program wrote, also one of a thousand progressive scans.
MOST_SEGMENTS = 100_000

_MARKER = re.compile(rb"\xff[\x01-\xfe]")
# What ends the entropy-coded data of a scan: any marker that is no restart marker.
_SCAN_END = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
# Lossless processes (T.81, annex H): their pixels are not made of blocks.
LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
_LONE = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN, _IMAGE_ENDS = 0xDA, 0xD9
_END = b"\xff\xd9"
# Where data is missing libjpeg goes on with zeros: these greys (the second: CMYK).
_MISSING = (128, 65)
# Entropy-coded data of no picture: enough of it to change the first block that was missing.
_FILLER = random.Random(0).randbytes(8192).replace(b"\xff", b"\x5a")


@dataclass(frozen=True, slots=True)
class Jpeg:
    """What the markers tell.

    `complete`: the end marker is there. `height`: rows of pixels, 0 where the frame's header is
    missing. `one_pass`: all of the picture is in one scan, from top to bottom. `scans`: how many
    are there to their end. `pixels_end`: where the data of the first scan ends, or breaks off.
    `process`: the marker of the frame, `bits` those of a sample, both 0 where it is missing.
    """

    complete: bool
    height: int = 0
    one_pass: bool = False
    scans: int = 0
    pixels_end: int = 0
    process: int = 0
    bits: int = 0


def examine(data: Buffer) -> Jpeg:
    """Look through the markers of a JPEG."""
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
                # Of lossless ones it is not found out how many rows are there.
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
        pass  # it ends within a segment
    one_pass = one_pass and begun == 1
    return Jpeg(complete, height, one_pass, scans, first_end or len(data), process, bits)


def rows_arrived(data: Buffer, found: Jpeg) -> int:
    """How many rows of a one-pass JPEG are in its data, whatever its header says; 0 where that
    cannot be found out.

    The picture is decoded twice, with different data after what has arrived: from the first row
    on that differs, nothing is of this file.
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
    """The number of rows that a complete JPEG, decoded as `pixels`, has data for, where its data
    stops before the last one; None where all is there.

    A file that was cut off and closed with an end marker is complete by its markers. Its last
    rows are of libjpeg's grey, so that only such pictures are looked at again.
    """
    corners = (pixels[0, 0], pixels[0, -1], pixels[-1, 0], pixels[-1, -1])
    if not any(is_missing(corner) for corner in corners):
        return None
    found = examine(data)
    rows = rows_arrived(data, found)
    return rows if found.one_pass and rows < found.height else None


def is_missing(pixel: Pixels) -> bool:
    """Whether a pixel (BGR) is of the grey that libjpeg gives those that it has no data for."""
    return bool(pixel.min() == pixel.max() and pixel[0] in _MISSING)
