"""Find incomplete pictures in a PDF, which PDFium draws without an error.

A page with such a picture is read, and has a warning. Each kind of compression is checked for its
end marker, or for the number of its pixels. The work is limited: of a page with more or larger
pictures, only a part is examined.
"""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ocrpool_worker.decoding import jpeg_markers
from ocrpool_worker.decoding.pdf_objects import object_of, page_objects
from ocrpool_worker.decoding.pdf_stream_ends import ccitt_ends, jbig2_ends, jpx_ends
from ocrpool_worker.engine.base import PageWarning

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

# Compressed and expanded bytes that are examined for one page.
MOST_BYTES = 128 * 2**20
MOST_IMAGES, MOST_WARNINGS = 500, 8
INCOMPLETE, REPAIRED = "IncompleteImage", "RepairedDocument"

_PIECE = 256 * 1024
_RUNS = ("RunLengthDecode", "RL")
_EXPANDED = ("FlateDecode", "Fl", "LZWDecode", "LZW", *_RUNS)
# PDFium's number of a colour space → samples of a pixel. For other colour spaces it is unknown.
_GRAY, _RGB, _CMYK, _CAL_GRAY, _CAL_RGB = 1, 2, 3, 4, 5
_SAMPLES = {_GRAY: 1, _RGB: 3, _CMYK: 4, _CAL_GRAY: 1, _CAL_RGB: 3}
# Tolerance for the bytes of a predictor, or a line end of the stream.
_SLACK = 16
_NOT_DRAWN = "it cannot be decoded, and is not drawn"


def warnings_of(pdf: Any, page: Any, pixels: Pixels) -> tuple[PageWarning, ...]:
    """The warnings about pictures of a page that was drawn as `pixels`."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    found = []
    repaired = not pdfium.FPDF_DocumentHasValidCrossReferenceTable(pdf.raw)
    if repaired:
        found.append(
            PageWarning(
                REPAIRED,
                "the PDF's table of objects is damaged or missing (was the file cut off?); the "
                "objects that could be found were read",
            )
        )
    left = MOST_BYTES
    for number, (image, nested) in enumerate(_images(page), 1):
        picture = _Picture(image, page)
        left -= picture.size
        if left < 0 or number > MOST_IMAGES or len(found) >= MOST_WARNINGS:
            break
        edges = None if repaired or nested else _plain_edges(image, page, pixels)
        missing, looked_at = picture.missing(edges, left)
        left -= looked_at
        if missing:
            what = "" if missing == _NOT_DRAWN else " is not complete"
            message = f"image {number} of the page{what}: {missing}"
            found.append(PageWarning(INCOMPLETE, message))
    return tuple(found)


def _images(page: Any) -> Iterator[tuple[Any, bool]]:
    """The image objects of a page, and whether each is inside a form."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    for item, nested in page_objects(page, pdfium.FPDF_PAGEOBJ_IMAGE):
        if item is not None:
            yield object_of(item), nested


def _plain_edges(image: Any, page: Any, pixels: Pixels) -> list[Pixels] | None:
    """The colours of the edges of an image that have a single colour on the drawn page.

    Missing rows are drawn in a single colour, so an image without such an edge is complete. This
    saves expanding the pixels of most scans, which takes as long as drawing them. None if the edges
    are unknown.
    """
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    corners = [ctypes.c_float() for _ in range(4)]
    if not pdfium.FPDFPageObj_GetBounds(image, *corners):
        return None
    left, bottom, right, top = (corner.value for corner in corners)
    height, width = pixels.shape[:2]
    drawn = []
    for x, y in ((left, bottom), (right, top)):
        across, down = ctypes.c_int(), ctypes.c_int()
        size = (0, 0, width, height, 0)
        if not pdfium.FPDF_PageToDevice(page.raw, *size, x, y, across, down):
            return None
        drawn.append((min(max(across.value, 0), width), min(max(down.value, 0), height)))
    (x0, x1), (y0, y1) = sorted(p[0] for p in drawn), sorted(p[1] for p in drawn)
    # One pixel inwards, because the outermost pixels are blended with the background.
    inner = pixels[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1]
    if inner.shape[0] < 4 or inner.shape[1] < 4:
        return None
    edges = (inner[0], inner[-1], inner[:, 0], inner[:, -1])
    return [edge[0] for edge in edges if (edge == edge[0]).all()]


class _Picture:
    """One image object with its compression and its bytes."""

    def __init__(self, image: Any, page: Any) -> None:
        import pypdfium2.raw as pdfium  # noqa: PLC0415

        self._pdfium, self._image, self._page = pdfium, image, page
        self.size = int(pdfium.FPDFImageObj_GetImageDataRaw(image, None, 0))
        self._filters = [
            _text(lambda *to, at=at: pdfium.FPDFImageObj_GetImageFilter(image, at, *to))
            for at in range(pdfium.FPDFImageObj_GetImageFilterCount(image))
        ]

    def missing(self, edges: list[Pixels] | None, most: int) -> tuple[str, int]:
        """Return (what is missing, "" for nothing; the number of bytes that were expanded).

        At most `most` bytes are expanded, and only if `edges` (see `_plain_edges`) give a reason.
        """
        kind = self._filters[-1] if self._filters else ""
        if kind in ("DCTDecode", "DCT"):
            return self._jpeg(edges or [], most)
        if kind == "JPXDecode":
            return self._jpx(edges, most)
        if kind == "JBIG2Decode":
            return ("" if jbig2_ends(self._coded()) else "its JBIG2 data is cut off"), 0
        if kind in ("CCITTFaxDecode", "CCF"):
            size = self._pixel_bytes()
            whole = ccitt_ends(self._coded(), lambda: self._drawn() if size <= most else None)
            return ("" if whole else "its fax data is cut off"), min(size, most)
        # PDFium draws nothing of run lengths that are cut off, so the edges show the page itself.
        if edges == [] and kind not in _RUNS:
            return "", 0
        if self._filters in (["FlateDecode"], ["Fl"]):
            return self._flate(most)
        if not self._filters:
            return self._short_of(self.size, most), 0
        if kind in _EXPANDED:
            # These have no end marker, or one that PDFium does not report. PDFium has already
            # expanded them for drawing.
            size = int(self._pdfium.FPDFImageObj_GetImageDataDecoded(self._image, None, 0))
            return self._short_of(size, most), size
        return "", 0

    def _pixel_bytes(self) -> int:
        """The size of its pixels when PDFium decodes it."""
        width, height = ctypes.c_uint(), ctypes.c_uint()
        self._pdfium.FPDFImageObj_GetImagePixelSize(self._image, width, height)
        return 3 * width.value * height.value

    def _jpeg(self, edges: list[Pixels], most: int) -> tuple[str, int]:
        data = self._coded()
        found = jpeg_markers.examine(data)
        if not found.complete:
            return "its JPEG has no end", 0
        size = 2 * self._pixel_bytes()  # it is decoded twice
        if size > most or not any(jpeg_markers.is_missing(edge) for edge in edges):
            return "", 0
        rows = jpeg_markers.rows_arrived(data, found)
        if 0 < rows < found.height:
            return f"its pixels end after {rows} of {found.height} rows", size
        return "", size

    def _jpx(self, edges: list[Pixels] | None, most: int) -> tuple[str, int]:
        if not jpx_ends(self._coded()):
            return "its JPEG 2000 has no end", 0
        # An image that cannot be decoded is not drawn, and the background is seen, mostly paper.
        drawn = edges is not None and (len(edges) < 4 or any((e != edges[0]).any() for e in edges))
        size = self._pixel_bytes()
        if drawn or size > most:
            return "", 0
        return ("" if self._drawn() is not None else _NOT_DRAWN), size

    def _flate(self, most: int) -> tuple[str, int]:
        size, ended = expanded(self._raw(), most)
        if size >= most:
            return "", size
        return (self._short_of(size, most) if ended else "its compressed data is cut off"), size

    def _short_of(self, size: int, most: int) -> str:
        """Say what is missing if the pixels have `size` bytes; "" if nothing or unknown.

        PDFium does not report the bits of a sample. So a length that fits fewer than eight bits is
        compared with the drawn image, if that takes no more than `most` bytes.
        """
        metadata = self._pdfium.FPDF_IMAGEOBJ_METADATA()
        if not self._pdfium.FPDFImageObj_GetImageMetadata(self._image, self._page.raw, metadata):
            return ""
        if not metadata.bits_per_pixel:
            return _NOT_DRAWN  # run lengths are cut off, or its colours are invalid
        width, height = metadata.width, metadata.height
        samples = _SAMPLES.get(metadata.colorspace, 3 if metadata.bits_per_pixel >= 24 else 1)
        one_bit = metadata.bits_per_pixel == 1
        rows = {bits: (width * samples * bits + 7) // 8 for bits in (1, 2, 4, 8)}
        needed = rows[1 if one_bit else 8] * height
        if size + _SLACK >= needed:
            return ""
        fewer = () if one_bit else (rows[1], rows[2], rows[4])
        lengths = [(row + predictor) * height for row in fewer for predictor in (0, 1)]
        fits = any(abs(size - length) <= _SLACK for length in lengths)
        # The length fits fewer bits. So it has fewer bits, unless it is drawn as bytes and then
        # black.
        plain = metadata.colorspace in (_GRAY, _RGB)
        if self._pixel_bytes() > most:
            return ""
        if fits and not (plain and self._drawn_as_bytes(width, samples)):
            return ""
        return f"{size} of {needed} bytes of its pixels are there"

    def _drawn_as_bytes(self, width: int, samples: int) -> bool:
        """Whether the drawn image is the data's bytes (not all zero) followed by zeros, as happens
        if pixels of eight bits a sample are missing."""
        import numpy as np  # noqa: PLC0415

        drawn = self._drawn()
        get = self._pdfium.FPDFImageObj_GetImageDataDecoded
        data = _bytes(lambda *to: get(self._image, *to), get(self._image, None, 0))
        rows = len(data) // (width * samples)
        if drawn is None or not 0 < rows < len(drawn) or drawn[rows + 1 :].any():
            return False
        given = np.frombuffer(data, np.uint8, rows * width * samples).reshape(rows, width, samples)
        shown = drawn[:rows].reshape(rows, width, -1)[:, :, :samples]
        return bool(given.any() and (shown == given[:, :, ::-1]).all())

    def _raw(self) -> bytes:
        return _bytes(
            lambda *to: self._pdfium.FPDFImageObj_GetImageDataRaw(self._image, *to), self.size
        )

    def _coded(self) -> bytes:
        """The data of the last filter, after the other filters were decoded."""
        if len(self._filters) < 2:
            return self._raw()
        get = self._pdfium.FPDFImageObj_GetImageDataDecoded
        return _bytes(lambda *to: get(self._image, *to), get(self._image, None, 0))

    def _drawn(self) -> Pixels | None:
        """The image alone as PDFium decodes it, H×W or H×W×3 uint8."""
        import pypdfium2  # noqa: PLC0415

        raw = self._pdfium.FPDFImageObj_GetBitmap(self._image)
        if not raw:
            return None
        bitmap = pypdfium2.PdfBitmap.from_raw(raw)
        bitmap.warn_on_close = False  # it belongs to us, and its pixels are copied before
        try:
            pixels: Pixels = bitmap.to_numpy().copy()
        finally:
            bitmap.close()
        return pixels


def expanded(packed: bytes, most: int) -> tuple[int, bool]:
    """Return (bytes to which Flate data expands, up to about `most`; whether it is complete)."""
    inflater = zlib.decompressobj()
    size = 0
    rest = packed
    try:
        while rest and size < most and not inflater.eof:
            size += len(inflater.decompress(rest, _PIECE))
            rest = inflater.unconsumed_tail
    except zlib.error:
        return size, False
    return size, inflater.eof


def _bytes(get: Any, size: int) -> bytes:
    buffer = ctypes.create_string_buffer(size)
    get(buffer, size)
    return buffer.raw


def _text(get: Any) -> str:
    return _bytes(get, get(None, 0)).rstrip(b"\0").decode("ascii", "replace")
