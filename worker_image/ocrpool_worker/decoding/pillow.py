"""Open a file with Pillow, with the decoder of one format and within our limit of pixels."""

from __future__ import annotations

import io
from typing import Any

from ocrpool_worker.decoding.limits import check_pixels
from ocrpool_worker.ipc.shared_buffer import Buffer


def open_image(data: Buffer, form: str, max_pixels: int) -> Any:
    """Open a file of `form` (Pillow's name) without loading its pixels.

    Raises TooLarge, or any exception of Pillow if it cannot read the header.
    """
    from PIL import Image  # noqa: PLC0415

    Image.MAX_IMAGE_PIXELS = None  # the limit is ours
    image = Image.open(io.BytesIO(data), formats=[form])
    check_pixels(*image.size, max_pixels)
    return image
