"""Convert any decoded picture to a page: H×W×3 uint8 in BGR, contiguous, upright and opaque.

All inputs pass through this module: image files, frames of a TIFF, pages of a PDF, and the NumPy
arrays and Pillow images of the Python API (in the caller's process). So the same picture always
becomes the same page.

Samples that are not bytes are scaled (`samples`). Transparent pictures are drawn on white, or on
black if their text is light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocrpool_worker.decoding.exif import ORIENTATION, orientation_of
from ocrpool_worker.decoding.samples import alpha_as_bytes, as_bytes, native
from ocrpool_worker.errors import BadRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ocrpool_worker.engine.base import Pixels

_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_EXTRA, _TIFF_FORMAT = 258, 262, 338, 339
_TIFF_ALPHA = {1, 2}
# Neighbours that differ by fewer levels belong to one background, such as a gradient.
_EDGE = 16
# Other fields of metadata from which Pillow takes an orientation.
_XMP, _RAW_EXIF = ("XML:com.adobe.xmp", "xmp"), "Raw profile type exif"
_SHAPES = (
    "H×W or H×W×1 (grey), H×W×2 (grey, alpha), H×W×3 (BGR) or H×W×4 (BGRA) of bool, integers or "
    "floats"
)


def from_array(samples: NDArray[Any], orientation: int = 1) -> Pixels:
    """Convert an array in OpenCV's order of channels to a page.

    The array is H×W or H×W×1 (grey), H×W×2 (grey, alpha), H×W×3 (BGR) or H×W×4 (BGRA), of bool,
    integers or floats. Alpha is not premultiplied. `orientation` is EXIF's, 1 to 8. An array that
    already is a page is returned itself.

    Raises BadRequest for any other shape or type.
    """
    import numpy as np  # noqa: PLC0415

    samples = np.asarray(samples)  # the data of a masked array
    channels = samples.shape[2] if samples.ndim == 3 else 1
    known = samples.ndim in (2, 3) and channels in (1, 2, 3, 4) and samples.dtype.kind in "buif"
    if not known or not samples.size:
        raise BadRequest(f"an array must be {_SHAPES}; this one is {samples.shape} {samples.dtype}")
    samples = native(samples)
    if channels in (2, 4):
        return _page(samples[:, :, :-1], alpha_as_bytes(samples[:, :, -1]), orientation)
    return _page(samples, None, orientation)


def from_pillow(image: Any) -> Pixels:
    """Convert the current frame of a Pillow image of any mode to a page, upright by its EXIF data.

    Raises BadRequest for an empty image, and any exception of Pillow if it cannot be loaded.
    """
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    if not image.width or not image.height:
        raise BadRequest(f"the image is {image.width}×{image.height} pixels")
    _load(image)
    # Read after loading, because Pillow then turns a TIFF itself and removes the tag.
    orientation = _orientation(image)
    if "transparency" in image.info and _key(image) is None:
        image = image.copy()  # Pillow keeps the key of a palette in modes where it is invalid
        del image.info["transparency"]
    mode, clear = image.mode, image.has_transparency_data
    if image.format == "TIFF" and mode == "RGBA":
        # Pillow takes any fourth sample for alpha, also if the file does not declare it as alpha.
        clear = not _TIFF_ALPHA.isdisjoint(image.tag_v2.get(_TIFF_EXTRA, ()))
    if mode.startswith("I;16") or mode in ("I", "F"):
        return _deep(image, orientation)
    if mode in ("LA", "La"):
        samples = np.asarray(image if mode == "LA" else image.convert("LA"))
    elif clear:
        samples = cv2.cvtColor(np.asarray(image.convert("RGBA")), cv2.COLOR_RGBA2BGRA)
    elif mode in ("1", "L"):
        samples = np.asarray(image)
    else:
        samples = cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR)
    return from_array(samples, orientation)


def _load(image: Any) -> None:
    """Load the pixels of an image. An uncompressed TIFF that must be turned by 90° is not mapped
    into memory, because Pillow 13 maps it with its width and height exchanged."""
    if image.format != "TIFF":
        image.load()
        return
    name = getattr(image, "filename", "")
    # Pillow turns a TIFF. It must use the tag, and not the XMP data.
    hidden = {key: image.info.pop(key) for key in _XMP if key in image.info}
    if name:
        image.filename = ""
    try:
        image.load()
    finally:
        image.info.update(hidden)
        if name:
            image.filename = name


def _key(image: Any) -> Any:
    """The transparent colour, if its type fits the mode, else None."""
    key, mode = image.info.get("transparency"), image.mode
    kinds: dict[str, type | tuple[type, ...]] = {"P": (int, bytes), "RGB": tuple}
    grey = mode in ("1", "L", "I", "F") or mode.startswith("I;16")
    return key if isinstance(key, int if grey else kinds.get(mode, ())) else None


def _deep(image: Any, orientation: int) -> Pixels:
    """Convert a loaded Pillow image of more than 8 bits a sample, which is always grey."""
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    samples = native(np.asarray(image))
    tags = getattr(image, "tag_v2", {})
    bits, sample_format = tags.get(_TIFF_BITS), tags.get(_TIFF_FORMAT, (1,))
    if image.mode == "I" and bits == (32,) and sample_format == (1,):
        samples = samples.view(np.uint32)  # Pillow has no unsigned mode, and reads it as signed
    key, alpha = image.info.get("transparency"), None
    if isinstance(key, int):
        alpha = np.where(samples == key, 0, 255).astype(np.uint8)
    page = _page(samples, alpha, orientation)
    # If white is 0 in a TIFF, Pillow inverts only samples of up to 8 bits.
    return cv2.bitwise_not(page) if tags.get(_TIFF_PHOTOMETRIC) == 0 else page


def _page(samples: NDArray[Any], alpha: NDArray[np.uint8] | None, orientation: int) -> Pixels:
    """Convert grey or BGR samples of any type, with their alpha, to a page."""
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    pixels = as_bytes(samples)
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        pixels = cv2.cvtColor(pixels.reshape(pixels.shape[:2]), cv2.COLOR_GRAY2BGR)
    if alpha is not None and int(alpha.min()) < 255:
        pixels = _on_paper(np.ascontiguousarray(pixels), alpha)
    return np.ascontiguousarray(upright(pixels, orientation))


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn an array from EXIF's `orientation` to 1. Any number outside 2 to 8 counts as 1. The
    result may be a view of the argument."""
    if not 2 <= orientation <= 8:
        return pixels
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    across = -1 if orientation in (2, 3, 6, 7) else 1
    down = -1 if orientation in (3, 4, 7, 8) else 1
    return pixels[::down, ::across]


def _orientation(image: Any) -> int:
    """EXIF's orientation of a loaded image. The orientation in XMP data is ignored everywhere,
    because OpenCV ignores it too."""
    try:
        if image.format == "TIFF":
            return 1
        if any(key in image.info for key in (*_XMP, _RAW_EXIF)):
            return orientation_of(image.info.get("exif", b""))
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # Pillow raises many kinds of exceptions for damaged EXIF data
        return 1


def _on_paper(pixels: Pixels, alpha: NDArray[np.uint8]) -> Pixels:
    """Draw a BGR picture on white, or on black if its text is light."""
    import cv2  # noqa: PLC0415

    black = _stands_out_on_black(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), alpha)
    return _laid_on(black, pixels, cv2.merge([alpha] * 3))


def _laid_on(black: bool, pixels: NDArray[Any], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2  # noqa: PLC0415

    ink = pixels if black else cv2.bitwise_not(pixels)
    page: NDArray[np.uint8] = cv2.multiply(ink, alpha, scale=1 / 255)
    return page if black else cv2.bitwise_not(page)


def _stands_out_on_black(grey: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> bool:
    """Whether more contrast is lost on white than on black.

    Lost is what contrasts with its surroundings on one background, and less than half as much on
    the other. Areas with their own background (a box, a photo, a page that fades out) contrast on
    both, and do not count.
    """
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    around = np.ones((3, 3), np.uint8)
    on_white, on_black = (
        cv2.morphologyEx(_laid_on(black, grey, alpha), cv2.MORPH_GRADIENT, around)
        for black in (False, True)
    )

    def lost(here: NDArray[np.uint8], there: NDArray[np.uint8]) -> int:
        return int(there[(there >= _EDGE) & (here < there // 2)].sum(dtype=np.uint64))

    return lost(on_white, on_black) > lost(on_black, on_white)
