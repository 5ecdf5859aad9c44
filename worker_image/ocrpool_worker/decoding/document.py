"""The interface of a document (a file of several pages), and the handling of decoder errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from ocrpool_worker.engine.base import PageWarning
from ocrpool_worker.errors import NotAnImage, RequestError

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

Rendered: TypeAlias = "tuple[Pixels, tuple[PageWarning, ...]]"


class Document:
    """A PDF or a TIFF of several frames. Open it with `document_page.open_document`."""

    def __init__(self, count: int) -> None:
        self.count = count

    def size(self, index: int) -> tuple[int, int]:
        """(width, height) in pixels of page `index` when it is rendered. Raises TooLarge."""
        raise NotImplementedError

    def render(self, index: int) -> Rendered:
        """Page `index` as H×W×3 uint8 BGR, and its warnings. Raises TooLarge or NotAnImage."""
        raise NotImplementedError


@contextmanager
def decoder_errors(what: str) -> Iterator[None]:
    """Turn every exception of a decoder into NotAnImage.

    Otherwise it would count as a failure of the engine, and hostile bytes could end the instance.
    """
    try:
        yield
    except (RequestError, MemoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise NotAnImage(f"{what}: {text}", field="file") from None
