"""The longest side that a page may have."""

from __future__ import annotations

from ocrpool_worker.errors import TooLarge

# PaddleX cuts lines out with OpenCV's warpPerspective. That function accepts images of fewer than
# SHRT_MAX (32,767) pixels a side, and PaddleX keeps corners as 16-bit numbers.
MAX_SIDE = 32_766


def check_sides(width: int, height: int, what: str = "the image") -> None:
    """Raise TooLarge for a page with a side of more than MAX_SIDE pixels."""
    if max(width, height) > MAX_SIDE:
        raise TooLarge(
            f"{what} is {width}×{height} pixels, and the longest side that can be read has "
            f"{MAX_SIDE}; send a smaller image, or cut it into parts",
            field="file",
            limit=MAX_SIDE,
        )
