"""Turns the bytes of a request into pages: decodes images, renders PDFs, walks TIFF frames.

All of it happens in the instance: decoders and PDFium can crash or hang on hostile input, PDFium
is not thread-safe, and the work spreads over the processes. Pixels come out as PaddleX makes them
(`cv2.imdecode`, PDFium at 144 dpi), so that the text is the same. Every pixel is of its own file:
one that has not arrived as a whole is refused, and decoders work in memory without a past.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from ocrpool_worker.engine.base import PageWarning
from ocrpool_worker.errors import NotAnImage, RequestError, TooLarge
from ocrpool_worker.instance import jpeg
from ocrpool_worker.instance.clean import clean_memory
from ocrpool_worker.instance.complete import check_complete, incomplete
from ocrpool_worker.instance.frames import count_frames
from ocrpool_worker.instance.pdf_images import warnings_of

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

# PaddleX renders at twice 72 dpi (PDF_RENDER_SCALE) and goes down to a tenth where a page is large.
PDF_SCALE = 2.0
PDF_SCALE_LEAST = 0.1


Rendered: TypeAlias = "tuple[Pixels, tuple[PageWarning, ...]]"


class EncodedImage:
    """An image file (PNG, JPEG, …), decoded at most once."""

    warnings: tuple[PageWarning, ...] = ()

    def __init__(self, data: memoryview, max_pixels: int) -> None:
        self._data = data
        self._max_pixels = max_pixels
        self.decoded: Pixels | None = None

    def pixels(self) -> Pixels:
        if self.decoded is None:
            check_complete(self._data)
            pixels = self._decode()
            check_pixels(pixels.shape[1], pixels.shape[0], self._max_pixels)
            self._check_ending(pixels)
            self.decoded = pixels
        return self.decoded

    def _decode(self) -> Pixels:
        import cv2  # noqa: PLC0415
        import numpy as np  # noqa: PLC0415

        try:
            with clean_memory():
                pixels: Pixels | None = cv2.imdecode(
                    np.frombuffer(self._data, np.uint8), cv2.IMREAD_COLOR
                )
        except cv2.error as error:
            # OpenCV has a limit of its own, set from ours; a header can lie to ours.
            if "MAX_IMAGE" in error.err:
                raise TooLarge(
                    f"the image has more than {self._max_pixels / 1e6:g} megapixels "
                    "(admission.maxMegapixels), whatever its first header says; send it "
                    "smaller or raise the limit",
                    field="file",
                    limit=self._max_pixels / 1e6,
                ) from None
            raise NotAnImage(f"the image cannot be decoded: {error.err}") from None
        if pixels is None:
            raise NotAnImage("the image is damaged, or of a kind that OpenCV cannot decode")
        return pixels

    def _check_ending(self, pixels: Pixels) -> None:
        if bytes(self._data[:2]) != b"\xff\xd8":
            return
        rows = jpeg.ends_early(self._data, pixels)
        if rows is not None:
            raise incomplete("the JPEG", f"its pixels end after {rows} rows")


class RawImage:
    """Pixels that a program handed over as they are (the Python API)."""

    warnings: tuple[PageWarning, ...] = ()

    def __init__(self, data: memoryview, shape: tuple[int, ...]) -> None:
        import numpy as np  # noqa: PLC0415

        # A copy: PaddleOCR may write into its input, and the mailbox is read-only and lent.
        self.decoded: Pixels = np.frombuffer(data, np.uint8).reshape(shape).copy()

    def pixels(self) -> Pixels:
        return self.decoded


class Document:
    """A PDF or a TIFF of several frames. Open it with `open_document`."""

    def __init__(self, count: int) -> None:
        self.count = count

    def size(self, index: int) -> tuple[int, int]:
        """(width, height) in pixels that page `index` will have. Raises TooLarge."""
        raise NotImplementedError

    def render(self, index: int) -> Rendered:
        """Page `index` as H×W×3 uint8 BGR, and what is missing on it. Raises TooLarge or
        NotAnImage."""
        raise NotImplementedError


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
        if pixels.ndim == 2 or pixels.shape[2] != 3:
            import cv2  # noqa: PLC0415

            gray = pixels.ndim == 2 or pixels.shape[2] == 1
            code = cv2.COLOR_GRAY2BGR if gray else cv2.COLOR_BGRA2BGR
            pixels = cv2.cvtColor(pixels, code)
        return pixels, warnings

    @contextmanager
    def _page(self, index: int) -> Iterator[Any]:
        with _decoding(f"page {index + 1} of the PDF cannot be read"):
            page = self._pdf[index]
            try:
                yield page
            finally:
                page.close()


class _Tiff(Document):
    def __init__(self, image: Any, frames: int, max_pixels: int) -> None:
        super().__init__(frames)
        self._image = image
        self._max_pixels = max_pixels

    def size(self, index: int) -> tuple[int, int]:
        self._seek(index)
        width, height = self._image.size
        check_pixels(width, height, self._max_pixels, page=index)
        return width, height

    def render(self, index: int) -> Rendered:
        import numpy as np  # noqa: PLC0415

        self.size(index)
        with _decoding(f"page {index + 1} of the TIFF cannot be read"):
            rgb = np.asarray(self._image.convert("RGB"))
        return np.ascontiguousarray(rgb[:, :, ::-1]), ()

    def _seek(self, index: int) -> None:
        with _decoding(f"page {index + 1} of the TIFF cannot be read"):
            self._image.seek(index)


def open_document(kind: str, data: bytes, max_pixels: int) -> Document:
    """Open a document of `kind` (`pdf` or `tiff`). Raises NotAnImage."""
    if kind == "pdf":
        import pypdfium2  # noqa: PLC0415

        with _decoding("the PDF cannot be opened"):
            pdf = pypdfium2.PdfDocument(data)
            pdf.init_forms()
            return _Pdf(pdf, max_pixels)
    from PIL import Image  # noqa: PLC0415

    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, and is checked page by page
    with _decoding("the TIFF cannot be opened"):
        # Counted and looked through before Pillow loads the tags: it trusts what they claim.
        frames = count_frames(data)
        return _Tiff(Image.open(io.BytesIO(data), formats=["TIFF"]), frames, max_pixels)


@contextmanager
def _decoding(what: str) -> Iterator[None]:
    """Whatever a decoder raises over hostile bytes means the same: they cannot be read. It must
    not count as a failure of the engine, which would cost the instance."""
    try:
        yield
    except (RequestError, MemoryError):
        raise
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise NotAnImage(f"{what}: {text}", field="file") from None


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


def check_pixels(width: int, height: int, max_pixels: int, *, page: int | None = None) -> None:
    """Raises TooLarge where the page has more than `max_pixels`."""
    if width * height > max_pixels:
        which = "the image" if page is None else f"page {page + 1}"
        raise TooLarge(
            f"{which} is {width}×{height} = {width * height / 1e6:.1f} megapixels, the limit is "
            f"{max_pixels / 1e6:g} (admission.maxMegapixels); send it smaller or raise the limit",
            field="file",
            limit=max_pixels / 1e6,
        )
