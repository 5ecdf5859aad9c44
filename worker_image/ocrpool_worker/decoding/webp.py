"""Decode WebP files. Those with transparency, EXIF data or several frames are decoded with Pillow.

When decoding to BGR, OpenCV drops alpha, and version 4.10 ignores the EXIF orientation. It does not
read files of several frames as an image. All other files are decoded as in PaddleX; both decoders
use libwebp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrpool_worker.decoding.document import decoder_errors
from ocrpool_worker.decoding.memory_fill import clean_memory
from ocrpool_worker.decoding.opencv import imdecode
from ocrpool_worker.decoding.pillow import open_image
from ocrpool_worker.decoding.raster import from_array, from_pillow
from ocrpool_worker.ipc.shared_buffer import Buffer

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

# Flags of VP8X: animation, EXIF, alpha.
_EXTENDED = 0x02 | 0x08 | 0x10
_LOSSLESS_ALPHA = 0x10


def decode(data: Buffer, max_pixels: int) -> Pixels:
    """Decode a WebP, or its first frame. Raises NotAnImage or TooLarge."""
    import cv2  # noqa: PLC0415

    if not _is_extended(bytes(data[:32])):
        return from_array(imdecode(data, cv2.IMREAD_COLOR, max_pixels))
    with decoder_errors("the WebP cannot be decoded"), clean_memory():
        return from_pillow(open_image(data, "WEBP", max_pixels))


def _is_extended(start: bytes) -> bool:
    kind = start[12:16]
    if kind == b"VP8X":
        return bool(start[20] & _EXTENDED)
    return kind == b"VP8L" and bool(start[24] & _LOSSLESS_ALPHA)
