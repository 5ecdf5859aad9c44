"""Check a request before any pixel is decoded.

The supervisor reads only headers: enough to know the format and the size of the page, at a cost
that does not depend on the contents. An instance examines PDFs and TIFFs of several frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ocrpool_worker.errors import NotAnImage, TooLarge
from ocrpool_worker.headers import UnknownFormat, read_header
from ocrpool_worker.headers.unsupported_formats import describe_unsupported
from ocrpool_worker.ipc.shared_buffer import Buffer
from ocrpool_worker.settings import AdmissionSettings
from ocrpool_worker.side_limit import check_sides

Kind = Literal["image", "pdf", "tiff"]

# The supported formats, for messages.
FORMATS = "PNG, JPEG, BMP, WebP, TIFF, GIF, JPEG 2000, HEIC, AVIF, PBM, PGM, PPM and PDF"

_PDF_MAGIC = b"%PDF-"
# Readers accept a header within the first 1024 bytes of the file (ISO 32000-1, annex H).
_PDF_WINDOW = 1024
# An image with a PDF in its metadata is still an image.
_IMAGE_STARTS = (
    b"\x89PNG",
    b"\xff\xd8",
    b"RIFF",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",
    b"MM\x00+",
    b"GIF8",
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x4f\xff\x51",
)


@dataclass(frozen=True, slots=True)
class Admitted:
    """An admitted file. `width` and `height` are in pixels, and 0 for documents."""

    kind: Kind
    width: int = 0
    height: int = 0


def admit(data: Buffer, limits: AdmissionSettings, *, expected: Kind | None = None) -> Admitted:
    """Determine the kind and size of `data`, or refuse it.

    `expected`: the kind that the client named (`image` covers `tiff`). Raises NotAnImage (422) or
    TooLarge (413).
    """
    if not data:
        raise NotAnImage("the file is empty", field="file")
    if is_pdf(data):
        if expected == "image":
            raise NotAnImage(
                "the file is a PDF, but fileType is 1 (image); send fileType 0", field="fileType"
            )
        return Admitted("pdf")
    if expected == "pdf":
        raise NotAnImage(
            "the file is not a PDF, but fileType is 0 (PDF); an image is fileType 1",
            field="fileType",
        )
    try:
        form, width, height = read_header(data)
    except UnknownFormat as error:
        raise NotAnImage(_why_not(data, error), field="file") from None
    if width <= 0 or height <= 0:
        raise NotAnImage(f"the image is {width}×{height} pixels", field="file")
    check_size(width, height, limits)
    # TIFF frames are counted in the instance: a hostile file can have millions of them.
    return Admitted("tiff" if form in ("TIFF", "BigTIFF") else "image", width, height)


def _why_not(data: Buffer, error: UnknownFormat) -> str:
    """The message for a file whose header was not recognised."""
    what = describe_unsupported(data) if error.unrecognised else None
    if what is not None:
        return f"the file is {what}"
    return f"the file is none of {FORMATS}, or is damaged at its start: {error}"


def check_size(width: int, height: int, limits: AdmissionSettings) -> None:
    """Raise TooLarge for a page of more than `maxMegapixels`, or with too long a side."""
    if width * height > limits.max_pixels:
        raise TooLarge(
            f"the image is {width}×{height} = {width * height / 1e6:.1f} megapixels, the limit is "
            f"{limits.max_megapixels:g} (admission.maxMegapixels); send a smaller image or raise "
            "the limit",
            field="file",
            limit=limits.max_megapixels,
        )
    check_sides(width, height)


def check_scaling(
    width: int, height: int, params: Mapping[str, Any], limits: AdmissionSettings
) -> None:
    """Refuse parameters that would scale a page up beyond the largest admitted size.

    PaddleOCR's detector scales a page up until its shorter side is `text_det_limit_side_len` (if
    `text_det_limit_type` is `min`, the default), and memory grows with it. Raises TooLarge.
    """
    side = params.get("text_det_limit_side_len")
    if side is None or params.get("text_det_limit_type", "min") != "min" or not width * height:
        return
    factor = max(1.0, side / min(width, height))
    pixels = width * height * factor * factor
    if pixels > limits.max_pixels:
        raise TooLarge(
            f"textDetLimitSideLen {side} would scale this page of {width}×{height} up to "
            f"{pixels / 1e6:.1f} megapixels, the limit is {limits.max_megapixels:g} "
            "(admission.maxMegapixels); send a lower value, or textDetLimitType max",
            field="textDetLimitSideLen",
            limit=limits.max_megapixels,
        )


def is_pdf(data: Buffer) -> bool:
    """Whether a lenient PDF reader would accept these bytes as a PDF."""
    start = bytes(data[:_PDF_WINDOW])
    is_image = start.startswith(_IMAGE_STARTS) or start[4:8] == b"ftyp"
    return _PDF_MAGIC in start and not is_image
