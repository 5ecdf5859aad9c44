"""The frames of a TIFF as pages."""

from __future__ import annotations

import io
from typing import Any

from ocrpool_worker.decoding.document import Document, Rendered, decoding
from ocrpool_worker.decoding.frames import count_frames
from ocrpool_worker.decoding.limits import check_pixels


def open_tiff(data: bytes, max_pixels: int) -> Document:
    """Raises NotAnImage."""
    from PIL import Image  # noqa: PLC0415

    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, and is checked page by page
    with decoding("the TIFF cannot be opened"):
        # Counted and looked through before Pillow loads the tags: it trusts what they claim.
        frames = count_frames(data)
        return _Tiff(Image.open(io.BytesIO(data), formats=["TIFF"]), frames, max_pixels)


class _Tiff(Document):
    def __init__(self, image: Any, frames: int, max_pixels: int) -> None:
        super().__init__(frames)
        self._image = image
        self._max_pixels = max_pixels

    def size(self, index: int) -> tuple[int, int]:
        self._seek(index)
        width, height = self._image.size
        check_pixels(width, height, self._max_pixels, page=index)
        return width, height

    def render(self, index: int) -> Rendered:
        import numpy as np  # noqa: PLC0415

        self.size(index)
        with decoding(f"page {index + 1} of the TIFF cannot be read"):
            rgb = np.asarray(self._image.convert("RGB"))
        return np.ascontiguousarray(rgb[:, :, ::-1]), ()

    def _seek(self, index: int) -> None:
        with decoding(f"page {index + 1} of the TIFF cannot be read"):
            self._image.seek(index)
