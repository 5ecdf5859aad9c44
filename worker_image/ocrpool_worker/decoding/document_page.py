"""One page of a document as the input of an engine, rendered when the engine asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrpool_worker.decoding.document import Document
from ocrpool_worker.decoding.image import EncodedImage, RawImage
from ocrpool_worker.decoding.memory_fill import clean_memory
from ocrpool_worker.decoding.pdf import open_pdf
from ocrpool_worker.decoding.tiff import open_tiff
from ocrpool_worker.engine.base import PageWarning

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

__all__ = ["Document", "DocumentPage", "EncodedImage", "RawImage", "open_document"]


def open_document(kind: str, data: bytes, max_pixels: int) -> Document:
    """Open a document of `kind` (`pdf` or `tiff`). Raises NotAnImage."""
    return open_pdf(data, max_pixels) if kind == "pdf" else open_tiff(data, max_pixels)


class DocumentPage:
    """One page of a document, rendered when the engine asks for it."""

    def __init__(self, document: Document, index: int) -> None:
        self._document = document
        self._index = index
        self.decoded: Pixels | None = None
        self.warnings: tuple[PageWarning, ...] = ()

    def pixels(self) -> Pixels:
        if self.decoded is None:
            with clean_memory():
                self.decoded, self.warnings = self._document.render(self._index)
        return self.decoded
