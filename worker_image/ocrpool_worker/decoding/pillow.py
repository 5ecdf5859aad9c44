"""Opens a file with Pillow, by one format's decoder alone and within our limit of pixels."""

from __future__ import annotations

import io
from typing import Any

from ocrpool_worker.decoding.limits import check_pixels
from ocrpool_worker.ipc.shared_buffer import Buffer


def open_image(data: Buffer, form: str, max_pixels: int) -> Any:
    """The Pillow image of a file of `form` (Pillow's name), not loaded yet. Raises TooLarge, or
    whatever Pillow raises where it cannot read the header."""
    from PIL import Image  # noqa: PLC0415

    Image.MAX_IMAGE_PIXELS = None  # the limit is ours
    image = Image.open(io.BytesIO(data), formats=[form])
    check_pixels(*image.size, max_pixels)
    return image
