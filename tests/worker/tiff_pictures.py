"""Cases of the matrix for TIFF (see `pictures`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from tests.worker import tiffs
from tests.worker.pictures import (
    BILEVEL,
    BILEVEL_PAGE,
    COLOUR,
    COLOUR_PAGE,
    CONVERTED,
    COVER,
    DARK,
    FAINT,
    FAINT_PAGE,
    GREY,
    LIGHT,
    LIGHT_PAGE,
    PAPER,
    READ,
    SCALED,
    STORED,
    TURNED,
    WORD_PAGE,
    Case,
    Feature,
    bgr,
    drawn,
    file,
    grey_alpha,
    near,
    with_alpha,
)
from tests.worker.tiffs import Frame, tiff

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels


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


CASES = tuple(tiff_files())
