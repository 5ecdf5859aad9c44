"""Decode PNG files, also with transparency and of 16 bits.

Opaque files of 8 bits are decoded as in PaddleX. The chunks say which kind it is, so that nothing
is decoded twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocrpool_worker.decoding.exif import orientation_of
from ocrpool_worker.decoding.opencv import imdecode
from ocrpool_worker.decoding.raster import from_array
from ocrpool_worker.ipc.shared_buffer import Buffer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ocrpool_worker.engine.base import Pixels

START = b"\x89PNG\r\n\x1a\n"
# Colour types.
_GREY, _GREY_ALPHA, _COLOUR_ALPHA = 0, 4, 6
_MOST_CHUNKS = 100_000
# Longer EXIF data is a mistake. The orientation is near its beginning.
_MOST_EXIF = 1024 * 1024


@dataclass(slots=True)
class _Chunks:
    """The facts from the chunks. `key`: data of tRNS. `orientation`: EXIF's, 0 if there is none."""

    bits: int
    colour: int
    key: bytes = b""
    orientation: int = 0


def decode(data: Buffer, max_pixels: int) -> Pixels:
    """Decode a PNG. Raises NotAnImage or TooLarge."""
    import cv2  # noqa: PLC0415

    found = _read_chunks(data)
    if not found.key and found.colour not in (_GREY_ALPHA, _COLOUR_ALPHA):
        deep = cv2.IMREAD_ANYDEPTH if found.bits == 16 else 0
        return from_array(imdecode(data, cv2.IMREAD_COLOR | deep, max_pixels))
    # OpenCV applies the orientation only when it decodes to BGR, and not with IMREAD_UNCHANGED.
    samples = imdecode(data, cv2.IMREAD_UNCHANGED, max_pixels)
    if found.colour == _GREY and samples.ndim == 2 and len(found.key) == 2:
        samples = _with_alpha(samples, found)
    return from_array(samples, found.orientation)


def _with_alpha(samples: NDArray[Any], found: _Chunks) -> NDArray[Any]:
    """Add the alpha that OpenCV omits to grey samples: those equal to the key are transparent."""
    import numpy as np  # noqa: PLC0415

    (key,) = struct.unpack(">H", found.key)
    if found.bits < 8:
        key = key * 255 // (2**found.bits - 1)  # scaled like the samples
    alpha = np.where(samples == key, 0, 2 ** max(8, found.bits) - 1).astype(samples.dtype)
    return np.dstack([samples, alpha])


def _read_chunks(data: Buffer) -> _Chunks:
    found = _Chunks(0, 0)
    for kind, at, length in chunks(data):
        if kind == b"IHDR" and length >= 10:
            found.bits, found.colour = data[at + 8], data[at + 9]
        elif kind == b"tRNS":
            found.key = bytes(data[at : at + min(length, 256)])
        elif kind == b"eXIf" and not found.orientation:  # only the first one counts
            found.orientation = orientation_of(bytes(data[at : at + min(length, _MOST_EXIF)]))
    return found


def chunks(data: Buffer) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, offset of its data, length) of each chunk."""
    at = len(START)
    for _ in range(_MOST_CHUNKS):
        if at + 12 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        yield kind, at + 8, length
        if kind == b"IEND":
            return
        at += 12 + length
