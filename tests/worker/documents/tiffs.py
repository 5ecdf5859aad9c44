"""TIFFs of scanners and fax servers."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from tests.worker.documents.drawing import TICKET, bilevel, encoded, ticket
from tests.worker.documents.kind import Kind

_SIZES = {3: "H", 4: "I"}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCBCR = 0, 1, 2, 6


def _entry(tag: int, values: Sequence[int], behind: int) -> tuple[bytes, bytes]:
    """(an entry, what of it lies at `behind`): LONG for offsets and sizes, SHORT for the rest."""
    kind = 4 if tag in (254, 256, 257, 273, 278, 279, 324, 325, 513, 514) else 3
    data = b"".join(struct.pack("<" + _SIZES[kind], value) for value in values)
    if len(data) <= 4:
        return struct.pack("<HHI", tag, kind, len(values)) + data.ljust(4, b"\0"), b""
    return struct.pack("<HHII", tag, kind, len(values), behind), data


def tiff(
    tags: Mapping[int, Sequence[int]], pieces: Sequence[bytes], *, tiled: bool = False
) -> bytes:
    """A little-endian TIFF of one frame; the offsets and sizes of its pieces are added."""
    at = 8
    offsets = []
    for piece in pieces:
        offsets.append(at)
        at += len(piece) + len(piece) % 2
    where, lengths = (324, 325) if tiled else (273, 279)
    tags = {**tags, where: offsets, lengths: [len(piece) for piece in pieces]}
    behind = at + 2 + 12 * len(tags) + 4
    entries, extra = b"", b""
    for tag, values in sorted(tags.items()):
        entry, data = _entry(tag, values, behind + len(extra))
        entries += entry
        extra += data
    body = b"".join(piece + b"\0" * (len(piece) % 2) for piece in pieces)
    return (
        struct.pack("<2sHI", b"II", 42, at)
        + body
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
        + extra
    )


def _base(
    width: int, height: int, bits: Sequence[int], compression: int, photometric: int
) -> dict[int, Sequence[int]]:
    return {
        256: [width],
        257: [height],
        258: bits,
        259: [compression],
        262: [photometric],
        277: [len(bits)],
        278: [height],
    }


def group4(image: Image.Image) -> bytes:
    """The data of a Group 4 fax whose bits of 1 are the ink."""
    ink = Image.fromarray(~np.asarray(image))
    data = encoded(ink, "TIFF", compression="group4", strip_size=1 << 24)
    found = Image.open(io.BytesIO(data))
    (at,), (size,) = found.tag_v2[273], found.tag_v2[279]  # type: ignore[attr-defined]
    return data[at : at + size]


def lowest_bit_first() -> bytes:
    """FillOrder 2: the bits of each byte stand the other way round, as fax modems send them."""
    turned = bytes(int(f"{byte:08b}"[::-1], 2) for byte in group4(bilevel()))
    tags = _base(*bilevel().size, [1], 4, _WHITE_IS_ZERO)
    return tiff({**tags, 266: [2]}, [turned])


def white_is_zero() -> bytes:
    return tiff(
        _base(*ticket().size, [8], 1, _WHITE_IS_ZERO),
        [bytes(255 - grey for grey in ticket().tobytes())],
    )


def separate_planes() -> bytes:
    """All reds, all greens, all blues (PlanarConfiguration 2): blue ink on yellow paper."""
    grey = np.asarray(ticket()).astype(int)
    planes = [
        grey.astype(np.uint8).tobytes(),
        grey.astype(np.uint8).tobytes(),
        (120 + grey // 8).astype(np.uint8).tobytes(),
    ]
    return tiff({**_base(*ticket().size, [8, 8, 8], 1, _RGB), 284: [2]}, planes)


def tiles() -> bytes:
    """Tiles of 64×64 pixels that reach over the edges."""
    grey = np.asarray(ticket())
    height, width = grey.shape
    padded = np.pad(grey, ((0, -height % 64), (0, -width % 64)))
    pieces = [
        padded[y : y + 64, x : x + 64].tobytes()
        for y in range(0, padded.shape[0], 64)
        for x in range(0, padded.shape[1], 64)
    ]
    tags = _base(width, height, [8], 1, _BLACK_IS_ZERO)
    del tags[278]
    return tiff({**tags, 322: [64], 323: [64]}, pieces, tiled=True)


def differences() -> bytes:
    """LZW with the predictor of horizontal differences."""
    return encoded(ticket().convert("RGB"), "TIFF", compression="tiff_lzw", tiffinfo={317: 2})


def old_jpeg() -> bytes:
    """Compression 6, given up in 1995 but in archives: tags 513, 514 name a whole JPEG."""
    data = encoded(ticket().convert("RGB"), "JPEG", quality=92, subsampling=0)
    tags = {**_base(*ticket().size, [8, 8, 8], 6, _YCBCR), 513: [8], 514: [len(data)], 530: [1, 1]}
    return tiff(tags, [data])


def half_the_rows() -> bytes:
    """A fax of standard resolution, 204×98 dots an inch: every letter has half of its height."""
    wide = ticket().resize((960, ticket().height))
    image = wide.point(lambda grey: 255 if grey > 128 else 0).convert("1")
    return encoded(image, "TIFF", compression="group3", dpi=(204, 98))


def with_a_thumbnail() -> bytes:
    """GIMP's: a second frame that says of itself that it is a smaller copy (NewSubfileType 1)."""
    small = ticket().resize((60, 23))
    page = ticket()
    # Pillow writes tag 254 of each frame from what the image brings along.
    small.encoderinfo = {"tiffinfo": {254: 1}}
    return encoded(page, "TIFF", save_all=True, append_images=[small])


KINDS = (
    Kind(
        "fax TIFF with the lowest bit first (FillOrder 2)",
        "ome/bioformats#2936",
        "Group 4 of Pillow, its bits turned round",
        lowest_bit_first,
        TICKET,
    ),
    Kind(
        "grey TIFF in which 0 is white",
        "image-rs/image-tiff#297",
        "built from bytes",
        white_is_zero,
        TICKET,
    ),
    Kind(
        "TIFF with a plane for each colour",
        "libvips/libvips#73",
        "built from bytes, PlanarConfiguration 2",
        separate_planes,
        TICKET,
    ),
    Kind(
        "TIFF of tiles",
        "DanBloomberg/leptonica#528",
        "built from bytes, tiles over the edge",
        tiles,
        TICKET,
    ),
    Kind(
        "TIFF with LZW and predictor",
        "cisocrgroup/PoCoTo#7",
        "Pillow, tag 317",
        differences,
        TICKET,
    ),
    Kind(
        "TIFF with the JPEG of TIFF 6.0 (compression 6)",
        "tesseract-ocr/tesseract#3008",
        "built from bytes, tags 513 and 514",
        old_jpeg,
        TICKET,
    ),
    Kind(
        "fax of standard resolution: pixels are not square",
        "ocrmypdf/OCRmyPDF#83",
        "Pillow, Group 3, 204×98 dots an inch",
        half_the_rows,
        TICKET,
    ),
    Kind(
        "TIFF with a thumbnail as second frame",
        "tesseract-ocr/tesseract#4475",
        "Pillow, NewSubfileType 1",
        with_a_thumbnail,
        TICKET,
    ),
)
