"""One word, drawn as every kind of picture that people have: as files, and as what a program holds.

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

from tests.worker import bombs, tiffs
from tests.worker.tiffs import Frame, tiff
from tools.bench.lib.page_image import font

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

WORD = "Hamburg42"
WIDTH, HEIGHT = 232, 72
Feature = Literal[
    "plain", "transparency", "orientation", "depth", "palette", "CMYK", "frames", "cut"
]
# What a format does with a feature.
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
    """The word in one ink on nothing; what is under it is of the same ink, as programs write it."""
    return np.dstack([np.full_like(GREY, ink)] * 3 + [cover]).astype(np.uint8)


def grey_alpha(ink: int) -> NDArray[np.uint8]:
    return np.dstack([np.full_like(GREY, ink), COVER]).astype(np.uint8)


FAINT = rgba(0, COVER // 20)  # ink that is hardly there
FAINT_PAGE = bgr(255 - COVER // 20)
DARK, LIGHT, CLEAR = rgba(0), rgba(255), rgba(0, np.zeros_like(COVER))
# How a picture is stored whose EXIF data says that it must be turned so.
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
    yield from tiff_files()
    yield from pdfs()
    yield from pillows()
    yield from arrays()


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


def tiff_frames() -> Iterator[tuple[Feature, str, str, Frame, Pixels]]:
    """Frames of every kind of samples: (feature, what is done, name, frame, page)."""
    sixteen, twelve = GREY.astype(np.uint16) * 257, GREY.astype(np.uint16) * 16 + (GREY >> 4)
    yield "plain", READ, "grey", Frame(GREY), WORD_PAGE
    yield "plain", READ, "white is 0", Frame(255 - GREY, tiffs.WHITE_IS_ZERO), WORD_PAGE
    yield "plain", READ, "bilevel", Frame(BILEVEL, bits=1), BILEVEL_PAGE
    yield (
        *("plain", READ, "bilevel, white is 0"),
        *(Frame(1 - BILEVEL, tiffs.WHITE_IS_ZERO, bits=1), BILEVEL_PAGE),
    )
    yield "plain", READ, "2 bits", Frame(BILEVEL * 3, bits=2), BILEVEL_PAGE
    yield "plain", READ, "4 bits", Frame(GREY >> 4, bits=4), bgr((GREY >> 4) * 17)
    colour = Frame(COLOUR, tiffs.RGB)
    yield "plain", READ, "colour", colour, COLOUR_PAGE
    yield "plain", READ, "planes", Frame(COLOUR, tiffs.RGB, planar=True), COLOUR_PAGE
    yield "plain", READ, "tiles", Frame(COLOUR, tiffs.RGB, tile=64), COLOUR_PAGE
    for name, samples, tags in (
        ("a sample more", np.dstack([COLOUR, COVER]), {tiffs.EXTRA_SAMPLES: [0]}),
        ("a sample more, without a name", with_alpha(0), {}),
        ("one more in RGB, tiles of orientation 3", with_alpha(0)[::-1, ::-1], {274: [3]}),
    ):
        tile = 64 if "tiles" in name else 0
        yield "plain", READ, name, Frame(samples, tiffs.RGB, tile=tile, tags=tags), COLOUR_PAGE
    for kind, name in ((1, "multiplied in"), (2, "alpha")):
        tags = {tiffs.EXTRA_SAMPLES: [kind]}
        frames = {
            "RGB": Frame(DARK, tiffs.RGB, tags=tags),
            "grey": Frame(grey_alpha(0), tags=tags),
        }
        if kind == 2:
            frames["RGB, planes"] = Frame(DARK, tiffs.RGB, planar=True, tags=tags)
            frames["RGB, 16 bits"] = Frame(DARK.astype(np.uint16) * 257, tiffs.RGB, tags=tags)
            ramp = Frame(grey_alpha(0), tiffs.PALETTE, tags={**tags, **RAMP})
            frames["palette"] = ramp
        for what, frame in frames.items():
            yield "transparency", PAPER, f"{what}, {name}", frame, WORD_PAGE
    for name, samples, page in (
        ("light ink", LIGHT, LIGHT_PAGE),
        ("faint, 16 bits", FAINT.astype(np.uint16) * 257, FAINT_PAGE),
    ):
        alone = Frame(samples, tiffs.RGB, tags={tiffs.EXTRA_SAMPLES: [2]})
        yield "transparency", PAPER, name, alone, page
    for name, samples in {
        "16 bits": sixteen,
        "12 of 16 bits": twelve,
        "16 bits, signed": GREY.astype(np.int16) * 128 + (GREY >> 1),
        "32 bits": GREY.astype(np.uint32) * 0x1010101,
        "32 bits, signed": GREY.astype(np.int32) * 0x10101,
        "float": (GREY / 255).astype(np.float32),
        "float up to 255": GREY.astype(np.float32),
        "double": GREY / 255,
        "float from -1 to 1": (GREY / 127.5 - 1).astype(np.float32),
        "float with NaN on paper": np.where(GREY == 255, np.nan, GREY / 255).astype(np.float32),
    }.items():
        yield "depth", SCALED, name, Frame(samples), WORD_PAGE
    yield "depth", SCALED, "12 bits", Frame(twelve, bits=12), WORD_PAGE
    white = tiffs.WHITE_IS_ZERO
    yield "depth", SCALED, "16 bits, white is 0", Frame(65535 - sixteen, white), WORD_PAGE
    inverse = (1 - GREY / 255).astype(np.float32)
    yield "depth", SCALED, "float, white is 0", Frame(inverse, white), WORD_PAGE
    wide = COLOUR.astype(np.uint16) * 257
    yield "depth", SCALED, "RGB, 16 bits", Frame(wide, tiffs.RGB), COLOUR_PAGE
    yield "depth", SCALED, "RGB, 16 bits, planes", Frame(wide, tiffs.RGB, planar=True), COLOUR_PAGE
    floats = (COLOUR / 255).astype(np.float32)
    yield "depth", SCALED, "RGB, float", Frame(floats, tiffs.RGB), COLOUR_PAGE
    yield "palette", READ, "palette", Frame(GREY, tiffs.PALETTE, tags=RAMP), WORD_PAGE
    four = {tiffs.COLOUR_MAP: [value * 4369 for value in range(16)] * 3}
    yield (
        "palette",
        READ,
        "palette of 4 bits",
        Frame(GREY >> 4, tiffs.PALETTE, bits=4, tags=four),
        bgr((GREY >> 4) * 17),
    )
    inks = np.dstack([255 - COLOUR, np.zeros_like(GREY)])
    yield "CMYK", CONVERTED, "CMYK", Frame(inks, tiffs.CMYK), COLOUR_PAGE
    yield (
        "CMYK",
        CONVERTED,
        "CMYK, 16 bits",
        Frame(inks.astype(np.uint16) * 257, tiffs.CMYK),
        COLOUR_PAGE,
    )
    for kind, name in ((1, "multiplied in"), (2, "alpha")):
        spot = Frame(np.dstack([inks, COVER]), tiffs.CMYK, tags={tiffs.EXTRA_SAMPLES: [kind]})
        yield "CMYK", CONVERTED, f"CMYK, {name}", spot, COLOUR_PAGE
    lab = cv2.cvtColor(COLOUR, cv2.COLOR_RGB2LAB).astype(np.int16)
    lab[:, :, 1:] -= 128
    yield "CMYK", CONVERTED, "Lab", Frame(lab.astype(np.uint8), tiffs.LAB), COLOUR_PAGE
    for number, stored in STORED.items():
        tags = {tiffs.ORIENTATION: [number]}
        turned = np.asarray(stored(drawn()))
        for name, frame in {
            "": Frame(turned, tags=tags),
            "RGB, tiles": Frame(np.dstack([turned] * 3), tiffs.RGB, tile=64, tags=tags),
            "16 bits": Frame(turned.astype(np.uint16) * 257, tags=tags),
            "16 bits, tiles": Frame(turned.astype(np.uint16) * 257, tile=64, tags=tags),
            "RGB, 16 bits, tiles": Frame(
                np.dstack([turned.astype(np.uint16) * 257] * 3), tiffs.RGB, tile=64, tags=tags
            ),
            "alpha": Frame(
                np.asarray(stored(Image.fromarray(DARK))),
                tiffs.RGB,
                tags={**tags, tiffs.EXTRA_SAMPLES: [2]},
            ),
        }.items():
            said = f"{name} of orientation {number}".strip()
            yield "orientation", TURNED, said, frame, WORD_PAGE


RAMP = {320: [value * 257 for value in range(256)] * 3}


def near(name: str) -> float:
    """Conversions that round, or that are not exact (Lab)."""
    return 4 if name in ("Lab", "YCbCr") else 1 if "bits" in name or "float" in name else 0.5


def tiff_files() -> Iterator[Case]:
    asked = ("RGB, alpha", "float", "16 bits, white is 0", "CMYK", "RGB, tiles of orientation 3")
    for feature, done, name, frame, page in tiff_frames():
        text = name in asked
        yield Case("TIFF", feature, done, name, tiff(frame), page, near(name), text=text)
    for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        data = file(COLOUR, "TIFF", compression=name)
        yield Case("TIFF", "plain", READ, name, data, COLOUR_PAGE, 3 if name == "jpeg" else 0)
    for name in ("group3", "group4"):
        data = file(drawn().convert("1", dither=0), "TIFF", compression=name)
        yield Case("TIFF", "plain", READ, name, data, BILEVEL_PAGE)
    yield Case("TIFF", "plain", READ, "big-endian", tiff(Frame(GREY), order=">"), WORD_PAGE)
    yield Case("TIFF", "plain", READ, "BigTIFF", tiff(Frame(GREY), big=True), WORD_PAGE)


def pdfs() -> Iterator[Case]:
    def pdf(feature: Feature, name: str, pixels: bytes, entries: bytes, page: Pixels) -> Case:
        done = {"orientation": AS_DRAWN, "transparency": AS_DRAWN, "CMYK": CONVERTED}
        data = pdf_with(pixels, entries)
        text = name in ("soft mask", "palette")
        return Case("PDF", feature, done.get(feature, READ), name, data, page, 4, text=text)

    rgb = b"/ColorSpace/DeviceRGB/BitsPerComponent 8"
    grey = b"/ColorSpace/DeviceGray/BitsPerComponent "
    yield pdf("plain", "JPEG", file(GREY, "JPEG"), b"/Filter/DCTDecode" + grey + b"8", WORD_PAGE)
    yield pdf("plain", "uncompressed", COLOUR.tobytes(), rgb, COLOUR_PAGE)
    packed = tiffs.packed(BILEVEL, ">", 1)
    yield pdf("plain", "bilevel", packed, grey + b"1", BILEVEL_PAGE)
    masked = rgb + b"/SMask 6 0 R"
    yield pdf("transparency", "soft mask", bytes(WIDTH * HEIGHT * 3), masked, WORD_PAGE)
    # What turns a picture on a page is the page, not the picture's EXIF data.
    turned = file(GREY, "JPEG", exif=exif(3))
    entries = b"/Filter/DCTDecode" + grey + b"8"
    yield pdf("orientation", "JPEG of orientation 3", turned, entries, WORD_PAGE)
    sixteen = (GREY.astype(">u2") * 257).tobytes()
    yield Case("PDF", "depth", SCALED, "16 bits", pdf_with(sixteen, grey + b"16"), WORD_PAGE, 4)
    ramp = b"".join(bytes([value] * 3) for value in range(256)).hex().encode()
    indexed = b"/ColorSpace[/Indexed/DeviceRGB 255<" + ramp + b">]/BitsPerComponent 8"
    yield pdf("palette", "palette", GREY.tobytes(), indexed, WORD_PAGE)
    inks = np.dstack([np.zeros((HEIGHT, WIDTH, 3), np.uint8), 255 - GREY]).tobytes()
    cmyk = b"/ColorSpace/DeviceCMYK/BitsPerComponent 8"
    yield Case("PDF", "CMYK", CONVERTED, "CMYK", pdf_with(inks, cmyk), WORD_PAGE, 12)


def pdf_with(pixels: bytes, entries: bytes) -> bytes:
    """A PDF of a page that is this image, a pixel for a pixel at 144 dpi. A soft mask is object
    6."""
    size = b"/Subtype/Image/Width %d/Height %d" % (WIDTH, HEIGHT)
    draw = b"q %g 0 0 %g 0 0 cm /I Do Q" % (WIDTH / 2, HEIGHT / 2)
    box = b"/MediaBox[0 0 %g %g]" % (WIDTH / 2, HEIGHT / 2)
    page = (
        b"<</Type/Page/Parent 2 0 R" + box + b"/Contents 4 0 R/Resources<</XObject<</I 5 0 R>>>>>>"
    )
    mask = size + b"/ColorSpace/DeviceGray/BitsPerComponent 8"
    return bombs.pdf_of(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        page,
        b"<</Length %d>>stream\n%s\nendstream" % (len(draw), draw),
        stream(b"<</Type/XObject" + size + entries, pixels),
        stream(b"<</Type/XObject" + mask, COVER.tobytes()),
    )


def stream(head: bytes, data: bytes) -> bytes:
    return head + b"/Length %d>>stream\n%s\nendstream" % (len(data), data)


def pillows() -> Iterator[Case]:
    """Pillow images of every mode."""

    def pillow(feature: Feature, done: str, name: str, image: Any, page: Pixels) -> Case:
        return Case("Pillow image", feature, done, name, image, page, near(name))

    dark, colour = Image.fromarray(DARK), Image.fromarray(COLOUR)
    yield pillow("plain", READ, "RGB", colour, COLOUR_PAGE)
    yield pillow("plain", READ, "L", drawn(), WORD_PAGE)
    yield pillow("plain", READ, "1", drawn().convert("1", dither=0), BILEVEL_PAGE)
    yield pillow("transparency", PAPER, "RGBA", dark, WORD_PAGE)
    yield pillow("transparency", PAPER, "RGBa", dark.convert("RGBa"), WORD_PAGE)
    yield pillow("transparency", PAPER, "LA", dark.convert("LA"), WORD_PAGE)
    yield pillow("transparency", PAPER, "La", dark.convert("LA").convert("La"), WORD_PAGE)
    yield pillow("transparency", PAPER, "PA", dark.convert("PA"), WORD_PAGE)
    yield pillow("transparency", PAPER, "RGBA, light ink", Image.fromarray(LIGHT), LIGHT_PAGE)
    tiny = raw_png(COVER, 3, 8, plte=bytes(768), trns=bytes(range(256)))
    yield pillow("transparency", PAPER, "P", Image.open(io.BytesIO(tiny)), WORD_PAGE)
    quantized = dark.quantize(method=Image.Quantize.FASTOCTREE)
    assert (quantized.palette.mode, quantized.info) == ("RGBA", {})
    page = bgr(np.asarray(quantized.convert("LA"))[:, :, 1] ^ 255)
    yield pillow("transparency", PAPER, "P whose palette is RGBA", quantized, page)
    ink = Image.open(io.BytesIO(tiny)).convert("1")
    assert isinstance(ink.info["transparency"], bytes)
    black = np.zeros_like(WORD_PAGE)
    yield pillow("transparency", PAPER, "1 with the key of a palette", ink, black)
    deep = GREY.astype(np.uint16)
    yield pillow("depth", SCALED, "I;16", Image.fromarray(deep * 257), WORD_PAGE)
    yield pillow("depth", SCALED, "I;16, 12 bits", Image.fromarray(deep * 16 + 15), WORD_PAGE)
    swapped = (deep * 257 >> 2).astype(">u2").tobytes()
    dark_page = Image.frombytes("I;16B", (WIDTH, HEIGHT), swapped)
    yield pillow("depth", SCALED, "I;16B, 14 bits", dark_page, bgr(GREY >> 2))
    yield pillow("depth", SCALED, "I", Image.fromarray(deep.astype(np.int32)), WORD_PAGE)
    floats = Image.fromarray((GREY / 255).astype(np.float32))
    yield pillow("depth", SCALED, "F, float", floats, WORD_PAGE)
    yield pillow("palette", READ, "P", drawn().convert("P"), WORD_PAGE)
    yield pillow("CMYK", CONVERTED, "CMYK", colour.convert("CMYK"), COLOUR_PAGE)
    yield pillow("CMYK", CONVERTED, "YCbCr", colour.convert("YCbCr"), COLOUR_PAGE)
    for number, stored in STORED.items():
        image = stored(drawn())
        image.getexif()[0x0112] = number
        said = f"orientation {number}"
        yield pillow("orientation", TURNED, said, image, WORD_PAGE)


def arrays() -> Iterator[Case]:
    """Arrays of every shape and type."""
    sixteen = GREY.astype(np.uint16) * 257
    for name, array, page in (
        ("H×W×3", COLOUR_PAGE, COLOUR_PAGE),
        ("H×W×3, a view", COLOUR[:, :, ::-1], COLOUR_PAGE),
        ("H×W", GREY, WORD_PAGE),
        ("H×W×1", GREY[:, :, None], WORD_PAGE),
        ("H×W of bool", BILEVEL.astype(bool), BILEVEL_PAGE),
    ):
        yield Case("NumPy array", "plain", READ, name, array, page)
    for name, array, page in (
        ("H×W×4", DARK, WORD_PAGE),
        ("H×W×4, light ink", LIGHT, LIGHT_PAGE),
        ("H×W×4, nothing on it", CLEAR, BLANK_PAGE),
        ("H×W×2", grey_alpha(0), WORD_PAGE),
        ("H×W×4 of uint16", DARK.astype(np.uint16) * 257, WORD_PAGE),
        ("H×W×4 of uint16, big-endian", DARK.astype(">u2") * np.uint16(257), WORD_PAGE),
        ("H×W×4 of int16", DARK.astype(np.int16) * 128 + (DARK >> 1), WORD_PAGE),
        ("H×W×4 of int32", DARK.astype(np.int32), WORD_PAGE),
        ("H×W×4 of int32, 16 bits", DARK.astype(np.int32) * 257, WORD_PAGE),
        ("H×W×4 of uint32", DARK.astype(np.uint32) * 0x1010101, WORD_PAGE),
        ("H×W×4 of bool", np.dstack([BILEVEL * 0] * 3 + [1 - BILEVEL]).astype(bool), BILEVEL_PAGE),
        ("H×W×4 of float32", (DARK / 255).astype(np.float32), WORD_PAGE),
        ("H×W×4 of float32 up to 255", DARK.astype(np.float32), WORD_PAGE),
        ("H×W×4 of uint8, faint", FAINT, FAINT_PAGE),
        ("H×W×4 of uint16, faint", FAINT.astype(np.uint16) * 257, FAINT_PAGE),
        ("H×W×4 of int32, faint", FAINT.astype(np.int32), FAINT_PAGE),
        ("H×W×4 of float32, faint", (FAINT / 255).astype(np.float32), FAINT_PAGE),
    ):
        near = 1 if "int16" in name else 0
        yield Case("NumPy array", "transparency", PAPER, name, array, page, near)
    overshoot = (GREY / 255 * 1.06 - 0.03).astype(np.float32)
    for name, array in {
        "uint16": sixteen,
        "uint16, 12 bits": sixteen >> 4,
        "float32, big-endian": (GREY / 255).astype(">f4"),
        "float64, masked": np.ma.masked_array(GREY / 255, GREY == 0),
        "int32": GREY.astype(np.int32),
        "int64": GREY.astype(np.int64),
        "uint64, all bits": GREY.astype(np.uint64) * np.uint64(0x0101010101010101),
        "float16": (GREY / 255).astype(np.float16),
        "float64": GREY / 255,
        "float up to 255": GREY.astype(np.float32),
        "float from -1 to 1": GREY / 127.5 - 1,
        "float, very dark": GREY / 255e6,
        "float, overshoot": np.where(GREY == 0, -0.03, np.where(GREY == 255, 1.03, overshoot)),
        "float, infinite": np.where(GREY == 0, -np.inf, np.where(GREY == 255, np.inf, GREY / 255)),
        "float, NaN": np.where(GREY == 255, np.nan, GREY / 255),
    }.items():
        near = 3 if "overshoot" in name else 1
        yield Case("NumPy array", "depth", SCALED, name, array, WORD_PAGE, near)
    for order in "<>":
        fourteen = (sixteen >> 2).astype(order + "u2")
        name = f"uint16, 14 bits, {order}"
        yield Case("NumPy array", "depth", SCALED, name, fourteen, bgr(GREY >> 2), 1)


CASES = tuple(cases())
