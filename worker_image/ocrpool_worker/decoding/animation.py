"""Count the pictures of files of which only one is read, for a warning.

Read are the first frame of an animation, and the primary picture of a HEIC. TIFFs and PDFs are
documents: all of their pages are read.
"""

from __future__ import annotations

import struct

from ocrpool_worker.decoding import gif, png
from ocrpool_worker.engine.base import PageWarning
from ocrpool_worker.headers import gif as gif_header
from ocrpool_worker.ipc.shared_buffer import Buffer

FIRST_FRAME_ONLY = "FirstFrameOnly"
_ANIMATED = 0x02
# Most chunks that are examined. A file with more has at least the frames that were found.
_MOST_CHUNKS = 100_000


def warnings_for(count: int) -> tuple[PageWarning, ...]:
    """The warning for a file of `count` pictures; none for a single picture."""
    if count < 2:
        return ()
    message = (
        f"the file has {count} pictures, and only the first (of HEIC the primary one) was read; "
        "send the others one by one, or all as a TIFF or a PDF"
    )
    return (PageWarning(FIRST_FRAME_ONLY, message),)


def count_frames(data: Buffer) -> int:
    """The number of frames of an animated GIF, PNG or WebP, 1 for anything else. Never raises."""
    start = bytes(data[:32])
    try:
        if start.startswith(gif_header.STARTS):
            return gif.count_frames(data)
        if start.startswith(png.START):
            return _png(data)
        if start.startswith(b"RIFF") and start[12:16] == b"VP8X" and start[20] & _ANIMATED:
            return _webp(data)
    except struct.error:
        pass
    return 1


def _png(data: Buffer) -> int:
    """The number of frames in the chunk acTL, which comes before the pixels."""
    for kind, at, _ in png.chunks(data):
        if kind == b"acTL":
            return int(struct.unpack_from(">I", data, at)[0])
        if kind == b"IDAT":
            return 1
    return 1


def _webp(data: Buffer) -> int:
    found, at = 0, 12
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(data):
            break
        kind, length = struct.unpack_from("<4sI", data, at)
        found += kind == b"ANMF"
        at += 8 + length + (length & 1)
    return max(1, found)
