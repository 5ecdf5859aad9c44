"""Decode JPEG files, also of a process that OpenCV does not support.

OpenCV reads the baseline, extended and progressive processes with 8 bits a sample. Pillow decodes
lossless JPEGs of 8 bits (medical devices, raw files of some cameras), because its libjpeg-turbo
supports them. The error for any other process names it: "damaged" would make people look for a
broken upload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocrpool_worker.decoding.jpeg_markers import LOSSLESS, Jpeg, examine
from ocrpool_worker.decoding.memory_fill import clean_memory
from ocrpool_worker.decoding.opencv import imdecode
from ocrpool_worker.decoding.pillow import open_image
from ocrpool_worker.decoding.raster import from_array, from_pillow
from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.ipc.shared_buffer import Buffer

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

_DIFFERENTIAL = frozenset({0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF})
_ARITHMETIC = frozenset(range(0xC9, 0xD0)) - {0xCC}


def decode(data: Buffer, max_pixels: int) -> Pixels:
    """Decode a JPEG. Raises NotAnImage or TooLarge."""
    import cv2  # noqa: PLC0415

    try:
        return from_array(imdecode(data, cv2.IMREAD_COLOR, max_pixels))
    except NotAnImage:
        page = decode_otherwise(data, max_pixels)
        if page is None:
            raise
        return page


def decode_otherwise(data: Buffer, max_pixels: int) -> Pixels | None:
    """Decode a JPEG that OpenCV does not decode, as H×W×3 uint8 BGR; None if the reason is unknown.

    Raises NotAnImage, with the name of its process, or TooLarge.
    """
    found = examine(data)
    if found.process in LOSSLESS and found.bits == 8:
        pixels = _by_pillow(data, max_pixels)
        if pixels is not None:
            return pixels
    name = _process(found)
    if name:
        raise NotAnImage(
            f"the JPEG uses a process that is not read: {name}; convert it to a baseline JPEG or a "
            "PNG",
            field="file",
        )
    return None


def _by_pillow(data: Buffer, max_pixels: int) -> Pixels | None:
    try:
        with clean_memory():
            return from_pillow(open_image(data, "JPEG", max_pixels))
    except (OSError, ValueError, SyntaxError):
        return None


def _process(found: Jpeg) -> str:
    """The name of an unsupported process, "" for a supported one."""
    names = []
    if found.process in LOSSLESS:
        names.append("lossless")
    if found.process in _DIFFERENTIAL:
        names.append("hierarchical")
    if found.process in _ARITHMETIC:
        names.append("arithmetic coding")
    if found.bits > 8:
        names.append(f"{found.bits} bits a sample")
    return ", ".join(names)
