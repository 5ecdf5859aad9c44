"""Choose the scale at which a PDF page is drawn, and warn if it is too small to read."""

from __future__ import annotations

import math

from ocrpool_worker.decoding.limits import check_pixels
from ocrpool_worker.engine.base import PageWarning
from ocrpool_worker.errors import NotAnImage

# PaddleX renders at 2 × 72 dpi (PDF_RENDER_SCALE), and at down to 0.1 × 72 dpi for large pages.
PDF_SCALE = 2.0
PDF_SCALE_LEAST = 0.1
# A little less than `side_limit.MAX_SIDE`, the longest side that can be read.
LONGEST_SIDE = 32_000
LOW_RESOLUTION = "LowResolution"

_POINTS_PER_INCH = 72
# Enough halvings to reach the precision of a float.
_HALVINGS = 60


def drawn_size(size: tuple[float, float], scale: float) -> tuple[int, int]:
    """(width, height) in pixels, rounded up as in pypdfium2."""
    return math.ceil(size[0] * scale), math.ceil(size[1] * scale)


def pdf_scale(size: tuple[float, float], index: int, max_pixels: int) -> float:
    """Pixels per point (1/72 inch) for a PDF page: 2, or the largest scale at which the page has no
    more than `max_pixels` and no side longer than LONGEST_SIDE.

    Raises TooLarge if even the smallest scale exceeds that, and NotAnImage for a page without area.
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
    # Sizes are rounded up and grow in steps, so the largest scale is searched, not computed.
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
    """The warning for a page that is so large that it is drawn at fewer than 72 dpi."""
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
