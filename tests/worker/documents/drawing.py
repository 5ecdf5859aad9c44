"""The picture that most kinds carry, and helpers that draw."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from tools.bench.lib.page_image import font

# Two lines that the recogniser reads without doubt: these kinds are about files, not about letters.
TICKET = ("Harbour Ferry 417", "Pier 7 Seat 41B")


def sheet(
    lines: Sequence[str], *, width: int = 480, size: int = 36, ink: int = 20, paper: int = 255
) -> Image.Image:
    """Lines under each other on grey paper."""
    image = Image.new("L", (width, 40 + len(lines) * size * 2), paper)
    draw = ImageDraw.Draw(image)
    for number, text in enumerate(lines):
        draw.text((30, 30 + number * size * 2), text, font=font(size), fill=ink)
    return image


def ticket() -> Image.Image:
    return sheet(TICKET)


def bilevel() -> Image.Image:
    """The ticket in black and white, of mode "1"."""
    return ticket().point(lambda grey: 255 if grey > 128 else 0).convert("1")


def encoded(image: Image.Image, form: str, **save: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **save)
    return out.getvalue()


def png(image: Image.Image) -> bytes:
    return encoded(image, "PNG")


def packed_bits(ink: np.ndarray) -> bytes:
    """Rows of one bit a pixel, each filled up to whole bytes."""
    return np.packbits(ink.astype(np.uint8), axis=1).tobytes()
