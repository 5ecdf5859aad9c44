"""At how many pixels for a point a page of a PDF is drawn, and when that is too few to read."""

from __future__ import annotations

import math

from ocrpool_worker.decoding.limits import check_pixels
from ocrpool_worker.engine.base import PageWarning
from ocrpool_worker.errors import NotAnImage

# PaddleX renders at twice 72 dpi (PDF_RENDER_SCALE) and goes down to a tenth where a page is large.
PDF_SCALE = 2.0
PDF_SCALE_LEAST = 0.1
# A little less than `sides.MAX_SIDE`, the longest that can be read.
LONGEST_SIDE = 32_000
LOW_RESOLUTION = "LowResolution"

_POINTS_PER_INCH = 72
# From 1.9 to nothing that a float of that size can tell apart.
_HALVINGS = 60


def drawn_size(size: tuple[float, float], scale: float) -> tuple[int, int]:
    """(width, height) in pixels, rounded up as pypdfium2 does it."""
    return math.ceil(size[0] * scale), math.ceil(size[1] * scale)


def pdf_scale(size: tuple[float, float], index: int, max_pixels: int) -> float:
    """Pixels per point (1/72 inch) at which a PDF page is drawn: 2, or the most at which it has no
    more than `max_pixels`, and no side is longer than LONGEST_SIDE.

    Raises TooLarge where even the least scale would be over that, NotAnImage for a page without an
    area.
    """
    if not all(0 < side < math.inf for side in size):
        raise NotAnImage(f"page {index + 1} of the PDF is {size[0]}×{size[1]} points", field="file")

    def fits(scale: float) -> bool:
        width, height = drawn_size(size, scale)
        return width * height <= max_pixels and max(width, height) <= LONGEST_SIDE

    if fits(PDF_SCALE):
        return PDF_SCALE
    if not fits(PDF_SCALE_LEAST):
        width, height = drawn_size(size, PDF_SCALE_LEAST)
        check_pixels(width, height, max_pixels, page=index)
        return PDF_SCALE_LEAST
    # Sizes are rounded up, so that they grow in steps: the largest scale is sought, not computed.
    least, most = PDF_SCALE_LEAST, PDF_SCALE
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        if fits(middle):
            least = middle
        else:
            most = middle
    return least


def resolution_warnings(
    size: tuple[float, float], scale: float, max_pixels: int
) -> tuple[PageWarning, ...]:
    """Whether a page is so large that it is drawn at fewer than 72 dpi."""
    if scale >= 1:
        return ()
    inches = "×".join(f"{side / _POINTS_PER_INCH:.3g}" for side in size)
    width, height = drawn_size(size, scale)
    if max(width, height) >= LONGEST_SIDE - 1:
        why = f"so that no side has more than {LONGEST_SIDE} pixels; split the page"
    else:
        why = (
            f"to stay within {max_pixels / 1e6:g} megapixels (admission.maxMegapixels); raise the "
            "limit, or split the page"
        )
    message = (
        f"the page is {inches} inches and is drawn at {_dpi(scale)} dpi, where small letters "
        f"cannot be read, {why}"
    )
    return (PageWarning(LOW_RESOLUTION, message),)


def _dpi(scale: float) -> str:
    return f"{scale * _POINTS_PER_INCH:.3g}"
