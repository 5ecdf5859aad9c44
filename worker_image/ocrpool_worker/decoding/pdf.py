"""Render the pages of a PDF with PDFium at 144 dpi, as PaddleX does, so that the text is the
same."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ocrpool_worker.decoding import pdf_fonts
from ocrpool_worker.decoding.document import Document, Rendered
from ocrpool_worker.decoding.pdf_annotations import flatten, undrawn_annotations
from ocrpool_worker.decoding.pdf_glyphs import UndrawnText, find_undrawn_text
from ocrpool_worker.decoding.pdf_images import warnings_of
from ocrpool_worker.decoding.pdf_open import document_warnings, load_pdf, open_page
from ocrpool_worker.decoding.pdf_scale import drawn_size, pdf_scale, resolution_warnings
from ocrpool_worker.decoding.raster import from_array

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

_log = logging.getLogger(__name__)


def open_pdf(data: bytes, max_pixels: int) -> Document:
    """Open a PDF. Raises NotAnImage."""
    pdf_fonts.install()
    return _Pdf(data, load_pdf(data), max_pixels)


class _Pdf(Document):
    def __init__(self, data: bytes, pdf: Any, max_pixels: int) -> None:
        super().__init__(len(pdf))
        self._data = data
        self._pdf = pdf
        self._max_pixels = max_pixels
        # The document opened a second time, for pages with letters that PDFium's own fonts lack:
        # the fonts of an open document cannot be changed.
        self._substituted: Any = None
        # The document opened a third time, with stamps flattened, to examine their text.
        self._flat: Any = None

    def size(self, index: int) -> tuple[int, int]:
        with open_page(self._pdf, index) as page:
            size = page.get_size()
            return drawn_size(size, pdf_scale(size, index, self._max_pixels))

    def render(self, index: int) -> Rendered:
        with open_page(self._pdf, index) as page:
            over, lost = undrawn_annotations(self._pdf, page, lambda: self._flat_page(index))
            own = find_undrawn_text(page)
            # The copy with flattened stamps also contains the page's own unnamed letters.
            unnamed = max(0, over.unnamed - own.unnamed)
            lacks = own | replace(over, unnamed=unnamed)
            other = self._with_other_fonts(index, lacks, lost, unnamed) if lacks else None
            return other or self._drawn(self._pdf, page, index, lacks | lost)

    def _with_other_fonts(
        self, index: int, lacks: UndrawnText, lost: UndrawnText, unnamed: int
    ) -> Rendered | None:
        """Draw the page with fonts of this machine. None if they do not help.

        `unnamed`: number of letters of annotations that have no Unicode value.
        """
        try:
            choice = pdf_fonts.choose_fonts()
            if choice is None:
                return None
            characters = frozenset(choice.lacks(set(lacks.characters)))
            left = UndrawnText(characters, unnamed, lacks.bounds)
            with pdf_fonts.substituting(choice):
                if self._substituted is None:
                    self._substituted = load_pdf(self._data)
                with open_page(self._substituted, index) as page:
                    left |= find_undrawn_text(page)
                    if left.amount < lacks.amount or left.unnamed:
                        return self._drawn(self._substituted, page, index, left | lost)
        except Exception:
            # A problem with the machine's fonts must not fail the request: draw without them.
            _log.exception("a page of a PDF could not be drawn with this machine's fonts")
        return None

    @contextmanager
    def _flat_page(self, index: int) -> Iterator[Any]:
        if self._flat is None:
            self._flat = load_pdf(self._data)
        with open_page(self._flat, index) as page:
            flatten(page)
        with open_page(self._flat, index) as page:
            yield page

    def _drawn(self, pdf: Any, page: Any, index: int, lacks: UndrawnText) -> Rendered:
        size = page.get_size()
        scale = pdf_scale(size, index, self._max_pixels)
        pixels: Pixels = page.render(scale=scale, rotation=0).to_numpy()
        warnings = (
            *(document_warnings(pdf) if index == 0 else ()),
            *lacks.warnings(),
            *resolution_warnings(size, scale, self._max_pixels),
            *warnings_of(pdf, page, pixels),
        )
        return from_array(pixels), warnings
