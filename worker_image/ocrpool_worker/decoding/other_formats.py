"""GIF, JPEG 2000 and AVIF through Pillow, HEIC through libheif.

OpenCV reads JPEG 2000 too, but its wheels carry an OpenJPEG (2.5.0) whose faults were mended in
2.5.3; those of Pillow and PDFium are newer.
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
    """The page of a file of one of these formats, and how many pictures there are in it, of which
    this is the first or (HEIC) the primary one. Raises NotAnImage or TooLarge."""
    try:
        form, width, height = read_header(data)
        open_by = _OPENERS[form]
    except (UnknownFormat, KeyError) as error:
        raise NotAnImage(f"the image is damaged, or of no known format: {error}") from None
    check_pixels(width, height, max_pixels)
    whole = bytes(data)  # a copy that is no part of the bound below
    with (
        decoder_errors(f"the {form} cannot be decoded"),
        clean_memory(),
        bounded_memory(width * height, len(whole)),
    ):
        image, count = open_by(whole, max_pixels)
        pixels = from_pillow(image)
    if form == "JPEG 2000" and jp2.is_deep_colour(whole):
        # Again, without the bound: PDFium ends the process where it gets no memory, and what its
        # decoder needs is known now, as it is the same as Pillow's.
        with clean_memory():
            return jp2.decode_deep_colour(whole), 1
    return pixels, count


def _by_pillow(name: str) -> Callable[[bytes, int], tuple[Any, int]]:
    def by_name(data: bytes, max_pixels: int) -> tuple[Any, int]:
        from PIL import AvifImagePlugin  # noqa: PLC0415

        AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # an instance has its share of the cores
        image = open_image(data, name, max_pixels)
        # GIF would walk all frames to count them.
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
    # libheif has turned and mirrored it as the file's own properties say. The orientation in EXIF
    # or XMP says the same once more, and counts for nothing (ISO 23008-12).
    image.info = {}
    return image, len(file)


_OPENERS: dict[Format, Callable[[bytes, int], tuple[Any, int]]] = {
    "GIF": _by_pillow("GIF"),
    "JPEG 2000": _by_pillow("JPEG2000"),
    "AVIF": _by_pillow("AVIF"),
    "HEIC": _by_libheif,
}
