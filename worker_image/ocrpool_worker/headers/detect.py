"""Detect the format of a file by its first bytes, and read its size."""

from __future__ import annotations

import struct
from typing import Literal

from ocrpool_worker.headers import basic, gif, heif, jpeg2000, netpbm
from ocrpool_worker.headers.errors import UnknownFormat
from ocrpool_worker.ipc.shared_buffer import Buffer

Format = Literal[
    "PNG",
    "JPEG",
    "BMP",
    "WebP",
    "TIFF",
    "BigTIFF",
    "GIF",
    "JPEG 2000",
    "HEIC",
    "AVIF",
    "PNM",
]


def read_header(data: Buffer) -> tuple[Format, int, int]:
    """Return (format, width, height). The size is not checked, so it may be 0 or absurd.

    Raises UnknownFormat.
    """
    start = bytes(data[:32])
    try:
        if start.startswith(basic.PNG_START):
            return "PNG", *basic.png(start)
        if start.startswith(b"\xff\xd8\xff"):
            return "JPEG", *basic.jpeg(data)
        if start.startswith(b"BM"):
            return "BMP", *basic.bmp(start)
        if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
            return "WebP", *basic.webp(start)
        if start[:4] in (b"II*\x00", b"MM\x00*"):
            return "TIFF", *basic.tiff(data, start, big=False)
        if start[:4] in (b"II+\x00", b"MM\x00+"):
            return "BigTIFF", *basic.tiff(data, start, big=True)
        if start.startswith(gif.STARTS):
            return "GIF", *gif.size(data)
        if start.startswith(jpeg2000.STARTS):
            return "JPEG 2000", *jpeg2000.size(data)
        if start[4:8] == b"ftyp":
            found = heif.primary_picture(data)
            return found.form, found.width, found.height
        if netpbm.begins(start):
            return "PNM", *netpbm.size(data)
    except struct.error:
        raise UnknownFormat("it ends within its header") from None
    raise UnknownFormat("its first bytes are of no known format", unrecognised=True)
