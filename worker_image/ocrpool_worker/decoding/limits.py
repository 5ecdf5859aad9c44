"""Check the size of a page, in pixels."""

from __future__ import annotations

from ocrpool_worker.errors import TooLarge
from ocrpool_worker.side_limit import check_sides


def check_pixels(width: int, height: int, max_pixels: int, *, page: int | None = None) -> None:
    """Raise TooLarge if the page has more than `max_pixels`, or too long a side."""
    which = "the image" if page is None else f"page {page + 1}"
    if width * height > max_pixels:
        raise TooLarge(
            f"{which} is {width}×{height} = {width * height / 1e6:.1f} megapixels, the limit is "
            f"{max_pixels / 1e6:g} (admission.maxMegapixels); send a smaller one or raise the "
            "limit",
            field="file",
            limit=max_pixels / 1e6,
        )
    check_sides(width, height, which)
