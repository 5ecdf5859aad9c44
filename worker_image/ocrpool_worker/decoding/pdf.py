"""The pages of a PDF, rendered by PDFium at 144 dpi, as PaddleX does it, for the same text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ocrpool_worker.decoding.document import Document, Rendered, decoding
from ocrpool_worker.decoding.limits import check_pixels
from ocrpool_worker.decoding.pdf_images import warnings_of
from ocrpool_worker.decoding.raster import from_array
from ocrpool_worker.errors import NotAnImage

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

# PaddleX renders at twice 72 dpi (PDF_RENDER_SCALE) and goes down to a tenth where a page is large.
PDF_SCALE = 2.0
PDF_SCALE_LEAST = 0.1


def open_pdf(data: bytes, max_pixels: int) -> Document:
    """Raises NotAnImage."""
    import pypdfium2  # noqa: PLC0415

    with decoding("the PDF cannot be opened"):
        pdf = pypdfium2.PdfDocument(data)
        pdf.init_forms()
        return _Pdf(pdf, max_pixels)


class _Pdf(Document):
    def __init__(self, pdf: Any, max_pixels: int) -> None:
        super().__init__(len(pdf))
        self._pdf = pdf
        self._max_pixels = max_pixels

    def size(self, index: int) -> tuple[int, int]:
        with self._page(index) as page:
            width, height = page.get_size()
            scale = pdf_scale((width, height), index, self._max_pixels)
        return math.ceil(width * scale), math.ceil(height * scale)

    def render(self, index: int) -> Rendered:
        with self._page(index) as page:
            scale = pdf_scale(page.get_size(), index, self._max_pixels)
            pixels: Pixels = page.render(scale=scale, rotation=0).to_numpy()
            warnings = warnings_of(self._pdf, page, pixels)
        return from_array(pixels), warnings

    @contextmanager
    def _page(self, index: int) -> Iterator[Any]:
        with decoding(f"page {index + 1} of the PDF cannot be read"):
            page = self._pdf[index]
            try:
                yield page
            finally:
                page.close()


def pdf_scale(size: tuple[float, float], index: int, max_pixels: int) -> float:
    """Pixels per point (1/72 inch) at which a PDF page is rendered: 2, or what the limit leaves.

    Raises TooLarge where even the least scale would be over the limit, NotAnImage for a page
    without an area.
    """
    width, height = size
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise NotAnImage(f"page {index + 1} of the PDF is {width}×{height} points")
    if math.ceil(width * PDF_SCALE) * math.ceil(height * PDF_SCALE) <= max_pixels:
        return PDF_SCALE
    # A pixel less on each side than the exact root: sizes are rounded up.
    scale = min(
        PDF_SCALE,
        math.sqrt(max_pixels / (width * height)),
        max_pixels / (width * math.ceil(height)),
    )
    while scale > PDF_SCALE_LEAST and (
        math.ceil(width * scale) * math.ceil(height * scale) > max_pixels
    ):
        scale *= 0.995
    if scale < PDF_SCALE_LEAST:
        least_width = math.ceil(width * PDF_SCALE_LEAST)
        least_height = math.ceil(height * PDF_SCALE_LEAST)
        check_pixels(least_width, least_height, max_pixels, page=index)
        return PDF_SCALE_LEAST
    return scale
