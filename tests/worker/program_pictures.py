"""Cases of the matrix for Pillow images and NumPy arrays (see `pictures`)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tests.worker.pictures import (
    BILEVEL,
    BILEVEL_PAGE,
    BLANK_PAGE,
    CLEAR,
    COLOUR,
    COLOUR_PAGE,
    CONVERTED,
    COVER,
    DARK,
    FAINT,
    FAINT_PAGE,
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
    bgr,
    drawn,
    grey_alpha,
    near,
    raw_png,
)

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels


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


CASES = (*pillows(), *arrays())
