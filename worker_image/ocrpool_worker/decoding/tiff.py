"""Decode the pages of TIFF files, with all kinds of samples.

To decode a page, its frame is made the first one of the file. So every decoder reads it like a file
of one frame:

- OpenCV decodes plain samples (opaque, up to 8 bits), as PaddleX does;
- OpenCV decodes samples of more than 8 bits, signed ones and floats unscaled, and they are scaled
  here;
- Pillow decodes transparency, Lab, and what OpenCV does not know.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ocrpool_worker.decoding.document import Document, Rendered, decoder_errors
from ocrpool_worker.decoding.exif import ORIENTATION
from ocrpool_worker.decoding.limits import check_pixels
from ocrpool_worker.decoding.memory_fill import clean_memory
from ocrpool_worker.decoding.opencv import imdecode
from ocrpool_worker.decoding.pillow import open_image
from ocrpool_worker.decoding.raster import from_array, from_pillow, upright
from ocrpool_worker.decoding.tiff_frames import find_pages, first_of, tags_of, with_first
from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.ipc.shared_buffer import Buffer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ocrpool_worker.engine.base import Pixels

_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR = 256, 257, 258, 262, 277, 284
_ROWS, _TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _FORMAT = 278, 322, 323, 338, 339
_EXAMINED = frozenset(
    {
        *(_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _PLANAR),
        *(_ROWS, _TILE_WIDTH, _TILE_HEIGHT, _EXTRA, _FORMAT, ORIENTATION),
    }
)
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_UNSIGNED = 1
# ExtraSamples: the meaning of a sample beyond the colours.
_UNKNOWN, _MULTIPLIED_IN, _ALPHA = 0, 1, 2

# Decoders allocate memory for a whole tile. Programs write tiles of up to this many pixels,
# whatever the size of the picture, or one tile of the picture's size.
_MOST_OF_A_TILE = 4096 * 4096


def open_tiff(data: bytes, max_pixels: int) -> Document:
    """Open a TIFF as a document. Raises NotAnImage."""
    with decoder_errors("the TIFF cannot be opened"):
        return _Tiff(bytearray(data), find_pages(data), max_pixels)


def decode(data: Buffer, max_pixels: int) -> Pixels:
    """Decode the first page of a TIFF. Raises NotAnImage or TooLarge."""
    with decoder_errors("the TIFF cannot be read"):
        at = find_pages(data)[0]
        kind = _Kind.of(data, at)
        check_pixels(*kind.size("the TIFF"), max_pixels)
        if at != first_of(data):
            data = with_first(bytearray(data), at)
        return _decode(data, kind, max_pixels)


class _Tiff(Document):
    def __init__(self, data: bytearray, pages: tuple[int, ...], max_pixels: int) -> None:
        super().__init__(len(pages))
        self._data = data
        self._pages = pages
        self._max_pixels = max_pixels

    def size(self, index: int) -> tuple[int, int]:
        kind = self._kind(index)
        return kind.size(f"page {index + 1} of the TIFF")

    def render(self, index: int) -> Rendered:
        kind = self._kind(index)
        with decoder_errors(f"page {index + 1} of the TIFF cannot be read"):
            data = with_first(self._data, self._pages[index])
            return _decode(data, kind, self._max_pixels), ()

    def _kind(self, index: int) -> _Kind:
        name = f"page {index + 1} of the TIFF"
        kind = _Kind.of(self._data, self._pages[index])
        check_pixels(*kind.size(name), self._max_pixels, page=index)
        return kind


@dataclass(frozen=True, slots=True)
class _Kind:
    """The facts from a frame's tags. `width` and `height` are those of the stored picture."""

    width: int
    height: int
    bits: int
    photometric: int
    samples: int
    extra: tuple[int, ...]
    format: int
    planar: bool
    tiled: bool
    piece: tuple[int, int]  # (width, height) of a tile, or of a strip
    orientation: int

    @classmethod
    def of(cls, data: Buffer, at: int) -> _Kind:
        tags = tags_of(data, at, _EXAMINED)

        def first(tag: int, otherwise: int) -> int:
            return next(iter(tags.get(tag, ())), otherwise)

        width, height = first(_WIDTH, 0), first(_HEIGHT, 0)
        tiled = _TILE_WIDTH in tags
        # Strips end with the picture, whatever their tag says.
        strip = (width, min(first(_ROWS, height), height))
        return cls(
            width,
            height,
            max(tags.get(_BITS, ()), default=1),
            first(_PHOTOMETRIC, _WHITE_IS_ZERO),
            first(_SAMPLES, 1),
            tags.get(_EXTRA, ()),
            first(_FORMAT, _UNSIGNED),
            first(_PLANAR, 1) == 2,
            tiled,
            (first(_TILE_WIDTH, 0), first(_TILE_HEIGHT, 0)) if tiled else strip,
            first(ORIENTATION, 1),
        )

    def size(self, name: str) -> tuple[int, int]:
        """(width, height) of the upright page. Raises NotAnImage."""
        if not self.width or not self.height:
            raise NotAnImage(f"{name} has no pixels, or its size is not a number", field="file")
        across, down = self.piece
        if across * down > self.width * self.height + _MOST_OF_A_TILE:
            raise NotAnImage(
                f"{name} is {self.width}×{self.height} pixels and has tiles of {across}×{down}; "
                "save it with tiles of up to 4096×4096, or without",
                field="file",
            )
        turned = 5 <= self.orientation <= 8
        return (self.height, self.width) if turned else (self.width, self.height)

    @property
    def deep(self) -> bool:
        """Whether samples have more than 8 bits, or are signed or floats."""
        return self.bits > 8 or self.format != _UNSIGNED

    @property
    def transparent(self) -> bool:
        """Whether a sample is declared as alpha. Other extra samples do not count."""
        return _MULTIPLIED_IN in self.extra or _ALPHA in self.extra

    @property
    def plain(self) -> bool:
        """Whether OpenCV decodes such frames correctly to BGR."""
        # OpenCV 4.10 puts the tiles of mirrored pictures in the wrong places.
        misplaced = self.tiled and self.orientation != 1
        opaque = self.samples == _COLOURS.get(self.photometric)
        return opaque and not self.deep and not self.extra and not misplaced

    @property
    def raw(self) -> bool:
        """Whether OpenCV returns the samples as they are stored, which excludes separate planes."""
        gray = self.samples == 1 and self.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO)
        colour = self.photometric == _RGB and self.samples in (3, 4) and not self.planar
        return self.deep and (gray or colour) and _MULTIPLIED_IN not in self.extra

    def __str__(self) -> str:
        return (
            f"{self.samples} samples of {self.bits} bits, photometric {self.photometric}, "
            f"sample format {self.format}"
        )


def _decode(data: Buffer, kind: _Kind, max_pixels: int) -> Pixels:
    """Decode the first frame, which is of `kind`."""
    decoders = []
    if kind.plain:
        decoders = [_by_opencv, _by_pillow]
    elif kind.raw:
        decoders = [_raw_by_opencv, _by_pillow, _by_opencv]
    elif kind.deep and kind.planar:
        decoders = [_by_opencv]  # Pillow 13 reads the planes as pixels
    elif kind.transparent:
        decoders = [_by_pillow]
    else:
        decoders = [_by_pillow, _by_opencv]
    text = ""
    for decoder in decoders:
        try:
            return decoder(data, kind, max_pixels)
        except (NotAnImage, OSError, ValueError, SyntaxError, struct.error) as error:
            text = text or " ".join(str(error).split())
    raise NotAnImage(
        f"the TIFF is damaged, or of an unsupported kind ({kind}): {text}; save it with 8 bits a "
        "sample",
        field="file",
    )


def _by_opencv(data: Buffer, kind: _Kind, max_pixels: int) -> Pixels:
    import cv2  # noqa: PLC0415

    return from_array(_samples(data, kind, cv2.IMREAD_COLOR, max_pixels))


def _raw_by_opencv(data: Buffer, kind: _Kind, max_pixels: int) -> Pixels:
    import cv2  # noqa: PLC0415

    samples = _samples(data, kind, cv2.IMREAD_UNCHANGED, max_pixels)
    if samples.ndim == 3 and not kind.transparent:
        samples = samples[:, :, :3]
    page = from_array(samples)
    return cv2.bitwise_not(page) if kind.photometric == _WHITE_IS_ZERO else page


def _samples(data: Buffer, kind: _Kind, flags: int, max_pixels: int) -> NDArray[Any]:
    samples = imdecode(data, flags, max_pixels)
    # OpenCV 4.10 leaves strips black that libtiff cannot decode, without an error.
    if _is_any_left_black(samples, kind):
        _check_strips(data, samples, max_pixels)
    return samples


def _is_any_left_black(samples: NDArray[Any], kind: _Kind) -> bool:
    """Whether the last row of any strip or tile is black. If decoding fails, the rest of it is
    black."""
    import numpy as np  # noqa: PLC0415

    stored = upright(samples, {6: 8, 8: 6}.get(kind.orientation, kind.orientation))
    height, width = stored.shape[:2]
    across, down = (max(1, side) for side in kind.piece)
    last = stored[[*range(down - 1, height - 1, down), height - 1]]
    drawn = last.reshape(len(last), width, -1) != 0
    if not kind.planar:
        drawn = drawn.any(axis=2)
    return not np.logical_or.reduceat(drawn, range(0, width, across), axis=1).all()


def _check_strips(data: Buffer, samples: NDArray[Any], max_pixels: int) -> None:
    """Raise OSError or NotAnImage if a strip or tile cannot be decoded."""
    from PIL import UnidentifiedImageError  # noqa: PLC0415

    try:
        image = open_image(data, "TIFF", max_pixels)
    except UnidentifiedImageError:
        # A kind that only OpenCV reads, or an unknown compression.
        if samples.any():
            return
        raise NotAnImage("no pixel can be decoded") from None
    with clean_memory():
        image.load()


def _by_pillow(data: Buffer, kind: _Kind, max_pixels: int) -> Pixels:
    from PIL import TiffImagePlugin  # noqa: PLC0415

    for order in (b"II", b"MM"):
        for extra in (_MULTIPLIED_IN, _ALPHA):
            # CMYK with alpha as Photoshop writes it. Pillow can unpack it, but does not list it.
            # Alpha is ignored, because pixels without ink are white anyway.
            known = (order, _CMYK, (_UNSIGNED,), 1, (8,) * 5, (extra,))
            TiffImagePlugin.OPEN_INFO.setdefault(known, ("CMYK", "CMYKX"))
    with clean_memory():
        return from_pillow(open_image(data, "TIFF", max_pixels))
