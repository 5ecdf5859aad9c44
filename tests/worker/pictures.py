"""One word, drawn as every kind of picture: as files, arrays and Pillow images.

`CASES` is the matrix: what each format does with each feature, in the words of the table in
`docs/pages.md`, and a picture that shows it. A new format needs some more rows.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tests.worker import tiffs
from tools.bench.lib.page_image import font

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

WORD = "Hamburg42"
WIDTH, HEIGHT = 232, 72
Feature = Literal[
    "plain", "transparency", "orientation", "depth", "palette", "CMYK", "frames", "cut"
]
# How a format handles a feature.
READ, PAPER, TURNED, SCALED, CONVERTED = "read", "on paper", "turned", "scaled", "converted"
EACH, REFUSED, AS_DRAWN = "each is a page", "422", "as a viewer shows it"


@dataclass(frozen=True)
class Case:
    """A picture: `data` is a file, an array or a Pillow image; `page` the page that must come out,
    `near` how far its pixels may be from it on average (formats that lose some). `text`: PaddleOCR
    is asked as well."""

    form: str
    feature: Feature
    done: str
    name: str
    data: Any
    page: Pixels
    near: float = 0
    text: bool = False

    def __str__(self) -> str:
        return f"{self.form}, {self.name}"


def drawn(ink: int = 0, paper: int = 255) -> Image.Image:
    """The word in grey: any channel of an RGB picture of it is the same."""
    image = Image.new("L", (WIDTH, HEIGHT), paper)
    ImageDraw.Draw(image).text((16, 16), WORD, font=font(36), fill=ink)
    return image


def bgr(grey: NDArray[Any]) -> Pixels:
    return np.ascontiguousarray(np.dstack([grey] * 3))


GREY = np.asarray(drawn())
COLOUR = np.dstack([GREY // 2 + 127, GREY, GREY // 4 * 3 + 63]).astype(np.uint8)  # RGB
COVER = 255 - GREY  # the alpha of ink
WORD_PAGE, LIGHT_PAGE, COLOUR_PAGE = bgr(GREY), bgr(COVER), np.ascontiguousarray(COLOUR[:, :, ::-1])
BLANK_PAGE = np.full_like(WORD_PAGE, 255)
BILEVEL = (GREY > 127).astype(np.uint8)
BILEVEL_PAGE = bgr(BILEVEL * 255)


def rgba(ink: int, cover: NDArray[Any] = COVER) -> NDArray[np.uint8]:
    """The word in one colour on transparent pixels of the same colour, as programs write it."""
    return np.dstack([np.full_like(GREY, ink)] * 3 + [cover]).astype(np.uint8)


def grey_alpha(ink: int) -> NDArray[np.uint8]:
    return np.dstack([np.full_like(GREY, ink), COVER]).astype(np.uint8)


FAINT = rgba(0, COVER // 20)  # ink that is hardly there
FAINT_PAGE = bgr(255 - COVER // 20)
DARK, LIGHT, CLEAR = rgba(0), rgba(255), rgba(0, np.zeros_like(COVER))
# EXIF's orientation → how the picture is stored.
STORED = {
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}


def file(image: Image.Image | NDArray[Any], form: str, **save: Any) -> bytes:
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    out = io.BytesIO()
    image.save(out, form, **save)
    return out.getvalue()


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def cases() -> Iterator[Case]:
    yield from jpegs()
    yield from pngs()
    yield from bmps()
    yield from webps()


def orientations(
    form: str, image: Image.Image, page: Pixels, name: str = "", near: float = 0, **save: Any
) -> Iterator[Case]:
    """A file of each of EXIF's orientations."""
    for number, stored in STORED.items():
        data = file(stored(image), form, exif=exif(number), **save)
        said = f"{name} of orientation {number}".strip()
        named = "WebP" if form == "WEBP" else form
        yield Case(named, "orientation", TURNED, said, data, page, near, text=number == 6)


def jpegs() -> Iterator[Case]:
    def jpeg(feature: Feature, done: str, name: str, data: bytes, page: Pixels) -> Case:
        return Case("JPEG", feature, done, name, data, page, near=3, text=feature == "CMYK")

    yield jpeg("plain", READ, "grey", file(GREY, "JPEG"), WORD_PAGE)
    yield jpeg("plain", READ, "colour", file(COLOUR, "JPEG", subsampling=0), COLOUR_PAGE)
    yield jpeg("plain", READ, "progressive", file(GREY, "JPEG", progressive=True), WORD_PAGE)
    cmyk = Image.fromarray(COLOUR).convert("CMYK")
    yield jpeg("CMYK", CONVERTED, "CMYK", file(cmyk, "JPEG"), COLOUR_PAGE)
    yield from orientations("JPEG", drawn(), WORD_PAGE, near=2)


def pngs() -> Iterator[Case]:
    def png(feature: Feature, done: str, name: str, data: bytes, page: Pixels) -> Case:
        text = name in ("RGBA", "palette with tRNS", "light ink", "12 of 16 bits")
        return Case("PNG", feature, done, name, data, page, text=text)

    yield png("plain", READ, "grey", file(GREY, "PNG"), WORD_PAGE)
    yield png("plain", READ, "colour", file(COLOUR, "PNG"), COLOUR_PAGE)
    yield png("plain", READ, "bilevel", file(drawn().convert("1", dither=0), "PNG"), BILEVEL_PAGE)
    for name, data in {
        "RGBA": file(DARK, "PNG"),
        "grey with alpha": file(Image.fromarray(grey_alpha(0), "LA"), "PNG"),
        "grey with alpha, 16 bits": raw_png(grey_alpha(0).astype(np.uint16) * 257, 4, 16),
        "RGBA, 16 bits": cv2.imencode(".png", DARK.astype(np.uint16) * 257)[1].tobytes(),
        "palette with tRNS": raw_png(COVER, 3, 8, plte=bytes(768), trns=bytes(range(256))),
    }.items():
        yield png("transparency", PAPER, name, data, WORD_PAGE)
    ground = BILEVEL.astype(np.uint16)
    key = 1 - BILEVEL  # ink is 1, and the ground, 0, is transparent
    for name, data in {
        "grey with tRNS": raw_png(BILEVEL, 0, 8, trns=b"\0\1"),
        "bilevel with tRNS": raw_png(key, 0, 1, trns=b"\0\0"),
        "grey with tRNS, 16 bits": raw_png(ground * 300, 0, 16, trns=b"\x01\x2c"),
        "RGB with tRNS": raw_png(np.dstack([BILEVEL] * 3), 2, 8, trns=b"\0\1" * 3),
    }.items():
        light = "bilevel" in name
        page = bgr(255 - BILEVEL * 255) if light else BILEVEL_PAGE
        yield png("transparency", PAPER, name, data, page)
    yield png("transparency", PAPER, "light ink", file(LIGHT, "PNG"), LIGHT_PAGE)
    yield png("transparency", PAPER, "nothing on it", file(CLEAR, "PNG"), BLANK_PAGE)
    opaque = np.dstack([COLOUR, np.full_like(GREY, 255)])
    yield png("transparency", PAPER, "opaque RGBA", file(opaque, "PNG"), COLOUR_PAGE)
    yield from orientations("PNG", drawn(), WORD_PAGE)
    yield from orientations("PNG", Image.fromarray(DARK), WORD_PAGE, "RGBA")
    deep = GREY.astype(np.uint16)
    yield png("depth", SCALED, "16 bits", file(deep * 257, "PNG"), WORD_PAGE)
    yield png("depth", SCALED, "12 of 16 bits", file(deep * 16 + (deep >> 4), "PNG"), WORD_PAGE)
    yield png("depth", SCALED, "8 of 16 bits", file(deep, "PNG"), WORD_PAGE)
    faint = cv2.imencode(".png", FAINT.astype(np.uint16) * 257)[1].tobytes()
    yield png("transparency", PAPER, "RGBA, 16 bits, faint", faint, FAINT_PAGE)
    colour = cv2.imencode(".png", COLOUR_PAGE.astype(np.uint16) * 257)[1].tobytes()
    yield png("depth", SCALED, "RGB, 16 bits", colour, COLOUR_PAGE)
    yield png("palette", READ, "palette", file(drawn().convert("P"), "PNG"), WORD_PAGE)


def raw_png(
    samples: NDArray[Any], colour: int, bits: int, *, plte: bytes = b"", trns: bytes = b""
) -> bytes:
    """A PNG of samples as they are, of any colour type, with or without tRNS."""
    packed = tiffs.packed(samples, ">", bits)
    row = len(packed) // HEIGHT
    rows = b"".join(b"\0" + packed[at : at + row] for at in range(0, len(packed), row))
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, colour, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"PLTE", plte), (b"tRNS", trns), (b"IDAT", zlib.compress(rows))]
    out = b"\x89PNG\r\n\x1a\n"
    for kind, data in [*(each for each in chunks if each[1]), (b"IEND", b"")]:
        out += struct.pack(">I", len(data)) + kind + data
        out += struct.pack(">I", zlib.crc32(kind + data))
    return out


def bmps() -> Iterator[Case]:
    yield Case("BMP", "plain", READ, "colour", file(COLOUR, "BMP"), COLOUR_PAGE)
    yield Case("BMP", "plain", READ, "from the top", bmp(COLOUR, down=True), COLOUR_PAGE)
    yield Case("BMP", "palette", READ, "palette", file(drawn().convert("P"), "BMP"), WORD_PAGE)
    for name, data, page in (
        ("32 bits, as Pillow writes it", file(DARK, "BMP"), WORD_PAGE),
        ("32 bits with a mask", bmp(DARK, mask=0xFF000000), WORD_PAGE),
        ("32 bits with a mask, from the top", bmp(DARK, mask=0xFF000000, down=True), WORD_PAGE),
        ("32 bits, light ink", bmp(LIGHT, mask=0xFF000000), LIGHT_PAGE),
        ("32 bits whose fourth byte is 0", bmp(with_alpha(0)), COLOUR_PAGE),
        ("32 bits whose fourth byte is 255", bmp(with_alpha(255)), COLOUR_PAGE),
        ("32 bits with masks for colours only", bmp(rgba(0), mask=0), np.zeros_like(WORD_PAGE)),
    ):
        yield Case("BMP", "transparency", PAPER, name, data, page, text="Pillow" in name)


def with_alpha(value: int) -> NDArray[np.uint8]:
    return np.dstack([COLOUR, np.full_like(GREY, value)])


def bmp(samples: NDArray[Any], *, mask: int | None = None, down: bool = False) -> bytes:
    """A BMP of 24 or 32 bits; with `mask` (that of alpha) its header is BITMAPV4HEADER."""
    stored = samples[:, :, [2, 1, 0, 3][: samples.shape[2]]]
    rows = stored if down else stored[::-1]
    height, bits = (-HEIGHT if down else HEIGHT), samples.shape[2] * 8
    pixels = np.ascontiguousarray(rows).tobytes()  # of WIDTH, rows have no padding
    size = 40 if mask is None else 108
    start = 14 + size
    head = struct.pack("<2sIII", b"BM", start + len(pixels), 0, start)
    compression = 0 if mask is None else 3
    head += struct.pack("<IiiHHIIiiII", size, WIDTH, height, 1, bits, compression, 0, 0, 0, 0, 0)
    if mask is not None:
        head += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, mask)
        head += b"BGRs" + bytes(48)
    return head + pixels


def webps() -> Iterator[Case]:
    def webp(
        feature: Feature, done: str, name: str, data: bytes, page: Pixels, **more: Any
    ) -> Case:
        return Case("WebP", feature, done, name, data, page, **more)

    plain = Image.fromarray(COLOUR)
    yield webp("plain", READ, "lossless", file(plain, "WEBP", lossless=True), COLOUR_PAGE)
    yield webp("plain", READ, "lossy", file(plain, "WEBP", quality=95), COLOUR_PAGE, near=4)
    for name, save in (("lossless", {"lossless": True}), ("lossy", {"quality": 95})):
        dark, light = file(DARK, "WEBP", **save), file(LIGHT, "WEBP", **save)
        near = 0 if name == "lossless" else 3
        yield webp("transparency", PAPER, f"{name} alpha", dark, WORD_PAGE, near=near, text=True)
        yield webp("transparency", PAPER, f"{name}, light ink", light, LIGHT_PAGE, near=near)
    yield from orientations("WEBP", drawn(), WORD_PAGE, lossless=True)
    yield from orientations("WEBP", Image.fromarray(DARK), WORD_PAGE, "RGBA", lossless=True)


def near(name: str) -> float:
    """Conversions that round, or that are not exact (Lab)."""
    return 4 if name in ("Lab", "YCbCr") else 1 if "bits" in name or "float" in name else 0.5


CASES = tuple(cases())
