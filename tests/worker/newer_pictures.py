"""Cases of the matrix for GIF, JPEG 2000, HEIC, AVIF and Netpbm (see `pictures`)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image

from tests.worker import pictures
from tests.worker.pictures import (
    BILEVEL,
    BILEVEL_PAGE,
    CLEAR,
    COLOUR,
    COLOUR_PAGE,
    COVER,
    DARK,
    GREY,
    HEIGHT,
    LIGHT,
    LIGHT_PAGE,
    PAPER,
    READ,
    SCALED,
    STORED,
    TURNED,
    WIDTH,
    WORD_PAGE,
    Case,
    Feature,
    drawn,
    exif,
    file,
    grey_alpha,
)

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

PNM = "PBM, PGM, PPM"


def heic(image: Image.Image | NDArray[Any], mode: str = "", **save: Any) -> bytes:
    """`mode`: as pillow_heif names it, for samples of 16 bits."""
    samples = np.ascontiguousarray(image)
    mode = mode or Image.fromarray(samples).mode
    # Not from_pillow, which turns a picture as its EXIF data says, and then once more.
    found = pillow_heif.from_bytes(mode, (samples.shape[1], samples.shape[0]), samples.tobytes())
    out = io.BytesIO()
    found.save(out, quality=98, chroma=444, **save)
    return out.getvalue()


def jp2(samples: NDArray[Any]) -> bytes:
    """Lossless, of any depth. `samples`: grey or BGR."""
    lossless = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000]
    return cv2.imencode(".jp2", samples, lossless)[1].tobytes()


def gifs() -> Iterator[Case]:
    def gif(feature: Feature, done: str, name: str, data: bytes, page: Pixels) -> Case:
        return Case("GIF", feature, done, name, data, page, text=name == "transparent ground")

    yield gif("plain", READ, "grey", file(GREY, "GIF"), WORD_PAGE)
    yield gif("plain", READ, "interlaced", file(GREY, "GIF", interlace=1), WORD_PAGE)
    yield gif("palette", READ, "palette", file(drawn().convert("P"), "GIF"), WORD_PAGE)
    bilevel = Image.fromarray(1 - BILEVEL).convert("P")  # 1 is ink
    bilevel.putpalette([0, 0, 0, 0, 0, 0])
    clear = file(bilevel, "GIF", transparency=0)
    yield gif("transparency", PAPER, "transparent ground", clear, BILEVEL_PAGE)
    bilevel.putpalette([255, 255, 255, 255, 255, 255])
    light = file(bilevel, "GIF", transparency=0)
    yield gif("transparency", PAPER, "light ink", light, 255 - BILEVEL_PAGE)


def jpeg_2000s() -> Iterator[Case]:
    def case(feature: Feature, done: str, name: str, data: bytes, page: Pixels) -> Case:
        text = name in ("RGBA", "RGB, 16 bits")
        return Case("JPEG 2000", feature, done, name, data, page, 1, text=text)

    yield case("plain", READ, "grey", file(GREY, "JPEG2000"), WORD_PAGE)
    yield case("plain", READ, "colour", file(COLOUR, "JPEG2000"), COLOUR_PAGE)
    yield case("plain", READ, "codestream", file(COLOUR, "JPEG2000", no_jp2=True), COLOUR_PAGE)
    yield case("plain", READ, "tiles", file(COLOUR, "JPEG2000", tile_size=(64, 64)), COLOUR_PAGE)
    yield case("plain", READ, "by OpenCV", jp2(COLOUR_PAGE), COLOUR_PAGE)
    yield case("transparency", PAPER, "RGBA", file(DARK, "JPEG2000"), WORD_PAGE)
    grey = Image.fromarray(grey_alpha(0), "LA")
    yield case("transparency", PAPER, "grey with alpha", file(grey, "JPEG2000"), WORD_PAGE)
    yield case("transparency", PAPER, "light ink", file(LIGHT, "JPEG2000"), LIGHT_PAGE)
    deep = GREY.astype(np.uint16) * 257
    yield case("depth", SCALED, "16 bits", jp2(deep), WORD_PAGE)
    wide = COLOUR_PAGE.astype(np.uint16) * 257
    yield case("depth", SCALED, "RGB, 16 bits", jp2(wide), COLOUR_PAGE)


def heifs() -> Iterator[Case]:
    def case(form: str, done: tuple[Feature, str], name: str, data: bytes, page: Pixels) -> Case:
        text = name in ("RGBA", "orientation 6", "RGB, 10 bits")
        return Case(form, *done, name, data, page, 5, text=text)

    def avif(image: Image.Image | NDArray[Any], **save: Any) -> bytes:
        return file(image, "AVIF", quality=95, subsampling="4:4:4", **save)

    for form, encode in (("HEIC", heic), ("AVIF", avif)):
        yield case(form, ("plain", READ), "grey", encode(GREY), WORD_PAGE)
        yield case(form, ("plain", READ), "colour", encode(COLOUR), COLOUR_PAGE)
        yield case(form, ("transparency", PAPER), "RGBA", encode(DARK), WORD_PAGE)
        yield case(form, ("transparency", PAPER), "light ink", encode(LIGHT), LIGHT_PAGE)
        blank = np.full_like(WORD_PAGE, 255)
        yield case(form, ("transparency", PAPER), "nothing on it", encode(CLEAR), blank)
        for number, stored in STORED.items():
            data = encode(stored(drawn()).convert("RGB"), exif=exif(number).tobytes())
            yield case(form, ("orientation", TURNED), f"orientation {number}", data, WORD_PAGE)
    for bits in (10, 12):
        pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
        deep = COLOUR.astype(np.uint16) * 257
        data = heic(deep, "RGB;16")
        yield case("HEIC", ("depth", SCALED), f"RGB, {bits} bits", data, COLOUR_PAGE)
        dark = np.dstack([np.zeros_like(COLOUR), COVER]).astype(np.uint16) * 257
        data = heic(dark, "RGBA;16")
        yield case("HEIC", ("depth", SCALED), f"RGBA, {bits} bits", data, WORD_PAGE)


def netpbms() -> Iterator[Case]:
    def pnm(feature: Feature, done: str, name: str, data: bytes, page: Pixels) -> Case:
        text = name == "PGM, 12 bits"
        return Case(PNM, feature, done, name, data, page, 1 if "bits" in name else 0, text=text)

    yield pnm("plain", READ, "PBM", file(drawn().convert("1", dither=0), "PPM"), BILEVEL_PAGE)
    yield pnm("plain", READ, "PGM", file(GREY, "PPM"), WORD_PAGE)
    yield pnm("plain", READ, "PPM", file(COLOUR, "PPM"), COLOUR_PAGE)
    written = " ".join(map(str, COLOUR.ravel()))
    size = f"{WIDTH} {HEIGHT}"
    yield pnm(
        "plain", READ, "plain PPM", f"P3\n# by hand\n{size}\n255\n{written}".encode(), COLOUR_PAGE
    )
    written = " ".join(map(str, 1 - BILEVEL.ravel()))
    yield pnm("plain", READ, "plain PBM", f"P1 {size}\n{written}".encode(), BILEVEL_PAGE)
    for bits in (1, 4, 12, 16):
        largest = 2**bits - 1
        samples = np.rint(GREY / 255 * largest)
        page = BILEVEL_PAGE if bits == 1 else pictures.bgr(np.rint(samples * 255 / largest))
        kind = ">u2" if largest > 255 else "u1"
        data = f"P5 {size} {largest}\n".encode() + samples.astype(kind).tobytes()
        yield pnm("depth", SCALED, f"PGM, {bits} bits", data, page.astype(np.uint8))
    wide = (COLOUR.astype(">u2") * 257).tobytes()
    yield pnm("depth", SCALED, "PPM, 16 bits", f"P6 {size} 65535\n".encode() + wide, COLOUR_PAGE)


CASES = (*gifs(), *jpeg_2000s(), *heifs(), *netpbms())
