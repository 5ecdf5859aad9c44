"""Decode with OpenCV, and translate its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocrpool_worker.decoding.memory_fill import clean_memory
from ocrpool_worker.errors import NotAnImage, TooLarge
from ocrpool_worker.ipc.shared_buffer import Buffer

if TYPE_CHECKING:
    from numpy.typing import NDArray


def imdecode(data: Buffer, flags: int, max_pixels: int) -> NDArray[Any]:
    """`cv2.imdecode` with `flags`. Raises NotAnImage or TooLarge."""
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    try:
        with clean_memory():
            pixels: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        # OpenCV has its own limit, set from ours. It also catches files whose header lies.
        if "MAX_IMAGE" in error.err:
            raise TooLarge(
                f"the image has more than {max_pixels / 1e6:g} megapixels "
                "(admission.maxMegapixels), whatever its first header says; send a "
                "smaller one or raise the limit",
                field="file",
                limit=max_pixels / 1e6,
            ) from None
        raise NotAnImage(f"the image cannot be decoded: {error.err}") from None
    if pixels is None:
        raise NotAnImage("the image is damaged, or of a kind that OpenCV cannot decode")
    return pixels
