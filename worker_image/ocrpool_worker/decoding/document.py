"""A file of several pages, and what any decoder's error over it means."""

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
    """A PDF or a TIFF of several frames. Open it with `pages.open_document`."""

    def __init__(self, count: int) -> None:
        self.count = count

    def size(self, index: int) -> tuple[int, int]:
        """(width, height) in pixels that page `index` will have. Raises TooLarge."""
        raise NotImplementedError

    def render(self, index: int) -> Rendered:
        """Page `index` as H×W×3 uint8 BGR, and what is missing on it. Raises TooLarge or
        NotAnImage."""
        raise NotImplementedError


@contextmanager
def decoder_errors(what: str) -> Iterator[None]:
    """Whatever a decoder raises over hostile bytes means the same: they cannot be read. It must
    not count as a failure of the engine, which would cost the instance."""
    try:
        yield
    except (RequestError, MemoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise NotAnImage(f"{what}: {text}", field="file") from None
