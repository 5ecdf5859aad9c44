"""Check that an image file is complete, by the sizes in the file itself.

Decoders handle half a file differently: some refuse it, some fill the rest with a colour, and some
leave old memory in it. So it is refused before decoding, with a message that says how much arrived.
Bytes after the end of a file are allowed, because cameras and scanners write them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

from ocrpool_worker.decoding import gif, heif, jp2, jpeg_markers, netpbm, tiff_frames
from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.headers import Format, UnknownFormat, read_header
from ocrpool_worker.ipc.shared_buffer import Buffer

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
# No program writes files with more chunks. The decoder decides about such a file.
_MOST_CHUNKS = 100_000
# Samples of a pixel by PNG's colour types.
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PIECE = 256 * 1024
# Values of BMP's compression field with which all rows have the same length.
_PLAIN_BMP = (0, 3, 6)
# Each function says how much of an incomplete file arrived, and returns None for a complete one.
_OTHERS: dict[Format, Callable[[Buffer], str | None]] = {
    "GIF": gif.describe_truncation,
    "JPEG 2000": jp2.describe_truncation,
    "HEIC": heif.describe_truncation,
    "AVIF": heif.describe_truncation,
    "PNM": netpbm.describe_truncation,
}


def check_complete(data: Buffer) -> None:
    """Raise NotAnImage for an image that is cut off; the message says how much arrived.

    A file that this function cannot read passes, because the decoder refuses it.
    """
    start = bytes(data[:64])
    try:
        if start.startswith(b"\xff\xd8"):
            _jpeg(data)
        elif start.startswith(_PNG_START):
            _png(data)
        elif start.startswith(b"BM"):
            _bmp(data, start)
        elif start.startswith(b"RIFF"):
            _webp(data, start)
        elif start[:4] in tiff_frames.STARTS:
            tiff_frames.check_first(data)
        else:
            _other(data)
    except struct.error:
        raise incomplete("the image", "it ends within its header") from None


def _other(data: Buffer) -> None:
    try:
        form, _, _ = read_header(data)
        check = _OTHERS.get(form)
        arrived = check(data) if check is not None else None
    except UnknownFormat:
        return
    if arrived is not None:
        raise incomplete(f"the {form}", arrived)


def incomplete(what: str, arrived: str) -> NotAnImage:
    """The error for an incomplete image. `arrived` says how much of it is there."""
    return NotAnImage(
        f"{what} is not complete: {arrived}; send the whole file (was the upload interrupted?)",
        field="file",
    )


def _jpeg(data: Buffer) -> None:
    found = jpeg_markers.examine(data)
    if found.complete:
        return
    if found.one_pass:
        rows = jpeg_markers.rows_arrived(data, found)
        arrived = f"{rows} of its {found.height} rows arrived"
    else:
        arrived = f"{found.scans} of its scans arrived whole"
    raise incomplete("the JPEG", f"{arrived}, and after {len(data)} bytes there is no end marker")


def _png(data: Buffer) -> None:
    if bytes(data[-len(_PNG_END) :]) == _PNG_END:
        return
    at = len(_PNG_START)
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + length
        if kind == b"IEND" and at <= len(data):
            return
        if at > len(data):
            break
    else:
        return
    width, height, bits, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    arrived = f"it ends after {len(data)} bytes"
    row = 1 + (width * bits * _PNG_SAMPLES.get(colour, 1) + 7) // 8
    if not interlaced and width * height:
        rows = min(height, _inflated(_png_pixels(data), row * height) // row)
        arrived = f"{rows} of its {height} rows arrived, and {arrived}"
    raise incomplete("the PNG", f"{arrived} without IEND")


def _png_pixels(data: Buffer) -> Iterator[memoryview]:
    """The compressed pixels of a PNG, as far as they are there."""
    view = memoryview(data)
    at = len(_PNG_START)
    for _ in range(_MOST_CHUNKS):
        if at + 8 > len(view):
            return
        length, kind = struct.unpack_from(">I4s", view, at)
        if kind == b"IDAT":
            yield view[at + 8 : at + 8 + length]
        at += 12 + length


def _inflated(pieces: Iterator[memoryview], most: int) -> int:
    """The number of bytes, up to `most`, to which possibly truncated data expands."""
    inflater = zlib.decompressobj()
    size = 0
    try:
        for piece in pieces:
            rest: bytes | memoryview = piece
            while len(rest) and size < most and not inflater.eof:
                size += len(inflater.decompress(rest, _PIECE))
                rest = inflater.unconsumed_tail
        size += len(inflater.flush())
    except zlib.error:
        pass  # the bytes up to the damage count
    return min(size, most)


def _bmp(data: Buffer, start: bytes) -> None:
    pixels_at, header = struct.unpack_from("<II", start, 10)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", start, 18)
        compression = packed = 0
    else:
        width, height, _, bits, compression, packed = struct.unpack_from("<iiHHII", start, 18)
        height = abs(height)  # negative: rows from the top
    row = (width * bits + 31) // 32 * 4
    size = row * height if compression in _PLAIN_BMP else packed
    arrived = max(0, len(data) - pixels_at)
    if arrived >= size or row <= 0:
        return
    rows = f"{arrived // row} of its {height} rows and " if compression in _PLAIN_BMP else ""
    raise incomplete("the BMP", f"{rows}{len(data)} of {pixels_at + size} bytes arrived")


def _webp(data: Buffer, start: bytes) -> None:
    (size,) = struct.unpack_from("<I", start, 4)
    if len(data) < 8 + size:
        raise incomplete("the WebP", f"{len(data)} of {8 + size} bytes arrived")
