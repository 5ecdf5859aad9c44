"""Decode an image file, or take pixels as they are.

Images are decoded like in PaddleX (`cv2.imdecode`), so that the text is the same. One module for
each format handles what that function gets wrong (transparency, depth, orientation). No pixel comes
from another file: an incomplete file is refused, and decoders get memory without old contents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ocrpool_worker.decoding import (
    animation,
    bmp,
    jpeg,
    jpeg_markers,
    netpbm,
    other_formats,
    png,
    tiff,
    tiff_frames,
    webp,
)
from ocrpool_worker.decoding.completeness import check_complete, incomplete
from ocrpool_worker.decoding.document import decoder_errors
from ocrpool_worker.decoding.limits import check_pixels
from ocrpool_worker.engine.base import PageWarning
from ocrpool_worker.ipc.shared_buffer import Buffer

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

# First bytes of a file → its decoder. `other_formats` decodes all others.
_DECODERS: dict[bytes | tuple[bytes, ...], Callable[[Buffer, int], Pixels]] = {
    png.START[:4]: png.decode,
    b"\xff\xd8": jpeg.decode,
    b"RIFF": webp.decode,
    b"BM": bmp.decode,
    tiff_frames.STARTS: tiff.decode,
    netpbm.STARTS: netpbm.decode,
}


class EncodedImage:
    """An image file (PNG, JPEG, …), decoded at most once."""

    warnings: tuple[PageWarning, ...] = ()

    def __init__(self, data: memoryview, max_pixels: int) -> None:
        self._data = data
        self._max_pixels = max_pixels
        self.decoded: Pixels | None = None

    def pixels(self) -> Pixels:
        if self.decoded is None:
            check_complete(self._data)
            with decoder_errors("the image cannot be decoded"):
                pixels, count = self._decode()
            check_pixels(pixels.shape[1], pixels.shape[0], self._max_pixels)
            self._check_ending(pixels)
            self.decoded = pixels
            self.warnings = animation.warnings_for(count)
        return self.decoded

    def _decode(self) -> tuple[Pixels, int]:
        """Return (the page, the number of pictures in the file)."""
        start = bytes(self._data[:4])
        for starts, decode in _DECODERS.items():
            if start.startswith(starts):
                return decode(self._data, self._max_pixels), animation.count_frames(self._data)
        # Never OpenCV for the rest: it also knows formats that it does not decode safely.
        pixels, count = other_formats.decode(self._data, self._max_pixels)
        return pixels, max(count, animation.count_frames(self._data))

    def _check_ending(self, pixels: Pixels) -> None:
        if bytes(self._data[:2]) != b"\xff\xd8":
            return
        rows = jpeg_markers.ends_early(self._data, pixels)
        if rows is not None:
            raise incomplete("the JPEG", f"its pixels end after {rows} rows")


class RawImage:
    """Pixels of an array or a Pillow image, from the Python API."""

    warnings: tuple[PageWarning, ...] = ()

    def __init__(self, data: memoryview, shape: tuple[int, ...]) -> None:
        import numpy as np  # noqa: PLC0415

        # Copied, because PaddleOCR may write into its input, and the shared buffer is read-only.
        self.decoded: Pixels = np.frombuffer(data, np.uint8).reshape(shape).copy()

    def pixels(self) -> Pixels:
        return self.decoded
