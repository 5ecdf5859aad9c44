"""Decode GIF, JPEG 2000 and AVIF with Pillow, and HEIC with libheif.

OpenCV also reads JPEG 2000, but its wheels contain OpenJPEG 2.5.0, whose vulnerabilities were fixed
in 2.5.3. Those of Pillow and PDFium are newer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ocrpool_worker.decoding import jp2
from ocrpool_worker.decoding.document import decoder_errors
from ocrpool_worker.decoding.limits import check_pixels
from ocrpool_worker.decoding.memory_fill import clean_memory
from ocrpool_worker.decoding.memory_limit import bounded_memory
from ocrpool_worker.decoding.pillow import open_image
from ocrpool_worker.decoding.raster import from_pillow
from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.headers import Format, UnknownFormat, read_header
from ocrpool_worker.ipc.shared_buffer import Buffer

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels


def decode(data: Buffer, max_pixels: int) -> tuple[Pixels, int]:
    """Return (the page, the number of pictures in the file). The page is the first picture, or the
    primary one of a HEIC. Raises NotAnImage or TooLarge."""
    try:
        form, width, height = read_header(data)
        open_by = _OPENERS[form]
    except (UnknownFormat, KeyError) as error:
        raise NotAnImage(f"the image is damaged, or of an unknown format: {error}") from None
    check_pixels(width, height, max_pixels)
    whole = bytes(data)  # copied before, so that it does not count in the limit below
    with (
        decoder_errors(f"the {form} cannot be decoded"),
        clean_memory(),
        bounded_memory(width * height, len(whole)),
    ):
        image, count = open_by(whole, max_pixels)
        pixels = from_pillow(image)
    if form == "JPEG 2000" and jp2.is_deep_colour(whole):
        # Decoded again without the limit, because PDFium ends the process if it gets no memory. Its
        # decoder is the same as Pillow's, so it needs no more memory than the first time.
        with clean_memory():
            return jp2.decode_deep_colour(whole), 1
    return pixels, count


def _by_pillow(name: str) -> Callable[[bytes, int], tuple[Any, int]]:
    def by_name(data: bytes, max_pixels: int) -> tuple[Any, int]:
        from PIL import AvifImagePlugin  # noqa: PLC0415

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # other instances need the other cores
        image = open_image(data, name, max_pixels)
        # For GIF, `n_frames` would decode all frames.
        return image, getattr(image, "n_frames", 1) if name == "AVIF" else 1

    return by_name


def _by_libheif(data: bytes, max_pixels: int) -> tuple[Any, int]:
    import pi_heif  # noqa: PLC0415

    pi_heif.options.DECODE_THREADS = 1
    pi_heif.options.THUMBNAILS = pi_heif.options.DEPTH_IMAGES = False
    file = pi_heif.open_heif(data)
    picture = file[file.primary_index]
    width, height = picture.size
    check_pixels(width, height, max_pixels)
    image = picture.to_pillow()
    # libheif has turned and mirrored the picture by the file's properties. The orientation in EXIF
    # or XMP repeats that, and must be ignored (ISO 23008-12).
    image.info = {}
    return image, len(file)


_OPENERS: dict[Format, Callable[[bytes, int], tuple[Any, int]]] = {
    "GIF": _by_pillow("GIF"),
    "JPEG 2000": _by_pillow("JPEG2000"),
    "AVIF": _by_pillow("AVIF"),
    "HEIC": _by_libheif,
}
