"""Decode PBM, PGM and PPM, whose samples are binary or written as decimal numbers.

Pillow takes minutes for the numbers of a page, and OpenCV does not scale by the largest value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ocrpool_worker.decoding.limits import check_pixels
from ocrpool_worker.decoding.raster import from_array
from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.headers.netpbm import Head, head
from ocrpool_worker.ipc.shared_buffer import Buffer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ocrpool_worker.engine.base import Pixels

STARTS = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")
_COMMENT = re.compile(rb"#[^\n\r]*")
_LINE_END = re.compile(rb"[\n\r]")
_NO_NUMBER = re.compile(rb"[^0-9\s]")
# Decimal samples are read in pieces of this many bytes. Their text is several times as large as the
# page, and may hold any amount of other text.
_PIECE = 64 << 10
# Most bytes of text for one sample. Five digits and a blank are usual.
_MOST_FOR_A_SAMPLE = 64
_MOST_BESIDES = 1 << 20


def describe_truncation(data: Buffer) -> str | None:
    """Say how much of an incomplete file arrived; None for a complete one. Files with decimal
    samples are checked when they are decoded."""
    found = head(data)
    if found.kind <= 3:
        return None
    row, arrived = _row(found), len(data) - found.pixels_at
    if arrived >= row * found.height:
        return None
    size = found.pixels_at + row * found.height
    return f"{arrived // row} of its {found.height} rows and {len(data)} of {size} bytes arrived"


def decode(data: Buffer, max_pixels: int) -> Pixels:
    """Decode a complete file. Raises NotAnImage or TooLarge."""
    import numpy as np  # noqa: PLC0415

    found = head(data)
    check_pixels(found.width, found.height, max_pixels)
    if found.kind == 4:
        rows = np.frombuffer(data, np.uint8, _row(found) * found.height, found.pixels_at)
        bits = np.unpackbits(rows.reshape(found.height, -1), axis=1)
        return from_array(np.where(bits[:, : found.width], 0, 255).astype(np.uint8))
    shape = (found.height, found.width, 3 if found.kind in (3, 6) else 1)
    count = found.height * found.width * shape[2]
    if found.kind > 4:
        kind = np.dtype(">u2" if found.largest > 255 else "u1")
        samples = np.frombuffer(data, kind, count, found.pixels_at)
    else:
        samples = _written(data, found, count)
    return from_array(_scaled(samples, found.largest).reshape(shape)[:, :, ::-1])


def _row(found: Head) -> int:
    """Bytes of a row of binary samples."""
    if found.kind == 4:
        return (found.width + 7) // 8
    samples = found.width * (3 if found.kind == 6 else 1)
    return samples * (2 if found.largest > 255 else 1)


def _written(data: Buffer, found: Head, count: int) -> NDArray[Any]:
    """Read decimal samples. Raises NotAnImage if there are fewer than `count`."""
    import numpy as np  # noqa: PLC0415

    samples = np.empty(count, np.uint8 if found.largest < 256 else np.uint16)
    filled = 0
    most = found.pixels_at + _MOST_FOR_A_SAMPLE * count + _MOST_BESIDES
    pieces = _without_comments(data, found.pixels_at, min(len(data), most))
    for some in _bits(pieces) if found.kind == 1 else _numbers(pieces):
        fit = some[: count - filled]
        samples[filled : filled + len(fit)] = np.minimum(fit, found.largest)
        filled += len(fit)
        if filled == count:
            return samples
    raise NotAnImage(
        f"the P{found.kind} image is not complete: {filled * found.height // count} of its "
        f"{found.height} rows arrived; send the whole file (was the upload interrupted?)",
        field="file",
    )


def _without_comments(data: Buffer, at: int, end: int) -> Iterator[bytes]:
    inside = False
    for start in range(at, end, _PIECE):
        piece = bytes(data[start : min(end, start + _PIECE)])
        if inside:  # inside a comment, which ends with its line
            line_end = _LINE_END.search(piece)
            if line_end is None:
                continue
            piece = piece[line_end.start() :]
        sign = piece.rfind(b"#")
        inside = sign >= 0 and _LINE_END.search(piece, sign) is None
        yield piece if sign < 0 else _COMMENT.sub(b"", piece)


def _bits(pieces: Iterator[bytes]) -> Iterator[NDArray[Any]]:
    """Read the digits of a bitmap, with or without blanks between them. 1 is black."""
    import numpy as np  # noqa: PLC0415

    for piece in pieces:
        digits = np.frombuffer(piece, np.uint8)
        yield ord("1") - digits[(digits == ord("0")) | (digits == ord("1"))]


def _numbers(pieces: Iterator[bytes]) -> Iterator[NDArray[Any]]:
    """Read decimal numbers, up to the first character that is neither a digit nor a blank."""
    rest = b""
    for piece in pieces:
        text = rest + piece
        strange = _NO_NUMBER.search(text)
        if strange is not None:
            rest = text[: strange.start()]
            break
        whole = text.rstrip(b"0123456789")  # the last number may go on
        yield _numbers_in(whole)
        rest = text[len(whole) :]
        if len(rest) > _MOST_FOR_A_SAMPLE:
            return
    yield _numbers_in(rest)


def _numbers_in(text: bytes) -> NDArray[Any]:
    import numpy as np  # noqa: PLC0415

    # Not with `count`: numpy 2.3 then returns uninitialised memory for missing numbers. And it
    # turns a text of only blanks into a number.
    numbers: NDArray[Any] = np.fromstring(text if text.strip() else b"", np.uint32, sep=" ")
    return numbers


def _scaled(samples: NDArray[Any], largest: int) -> NDArray[np.uint8]:
    """Scale samples to bytes, so that `largest` becomes 255."""
    import numpy as np  # noqa: PLC0415

    if largest == 255 and samples.dtype == np.uint8:
        return samples
    wide = np.minimum(samples, largest).astype(np.float32)
    bytes_of: NDArray[np.uint8] = np.rint(wide * np.float32(255 / largest)).astype(np.uint8)
    return bytes_of
