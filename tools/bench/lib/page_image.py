"""Page images with text in the project's own font, and a record of that text."""

from __future__ import annotations

import io
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

INK: Colour = (28, 30, 36)
WHITE: Colour = (255, 255, 255)
FONT_FILE = Path(str(files("ocrpool_worker"))) / "assets" / "OcrpoolSans.otf"


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Ocrpool Sans with an em of `size` pixels. The basic layout places glyphs equally on every
    machine, with or without libraqm."""
    return ImageFont.truetype(str(FONT_FILE), size, layout_engine=ImageFont.Layout.BASIC)


class PageImage:
    """One page being drawn. `lines` are its texts in the order in which they were written."""

    def __init__(self, width: int, height: int, background: Colour = WHITE) -> None:
        self.image = Image.new("RGB", (width, height), background)
        self.draw = ImageDraw.Draw(self.image)
        self.lines: list[str] = []

    def text(
        self, x: int, y: int, text: str, size: int, fill: Colour = INK, *, anchor: str = "la"
    ) -> None:
        """Write one line with its anchor (Pillow's letters) at x, y in pixels."""
        self.draw.text((x, y), text, font=font(size), fill=fill, anchor=anchor)
        self.lines.append(text)

    def column(self, x: int, y: int, texts: list[str], size: int, gap: int) -> int:
        """Write lines below each other, `gap` pixels from top to top. Returns the next y."""
        for text in texts:
            self.text(x, y, text, size)
            y += gap
        return y

    def box(self, x: int, y: int, width: int, height: int, fill: Colour) -> None:
        self.draw.rectangle((x, y, x + width, y + height), fill=fill)

    def rule(self, x: int, y: int, width: int, fill: Colour = (200, 204, 212)) -> None:
        self.draw.line((x, y, x + width, y), fill=fill, width=2)


def add_noise(image: Image.Image, strength: float, seed: int) -> Image.Image:
    """Gaussian noise with a standard deviation of `strength` grey levels."""
    pixels = np.asarray(image).astype(np.float32)
    noise = np.random.default_rng(seed).normal(0, strength, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def shade(image: Image.Image, darkest: float) -> Image.Image:
    """Light that falls off from the top left (1) to the bottom right (`darkest`)."""
    pixels = np.asarray(image).astype(np.float32)
    height, width = pixels.shape[:2]
    fall = np.add.outer(np.linspace(0, 0.5, height), np.linspace(0, 0.5, width))
    return Image.fromarray((pixels * (1 - (1 - darkest) * fall)[..., None]).astype(np.uint8))


def tilt(image: Image.Image, degrees: float, around: Colour) -> Image.Image:
    """Rotate counter-clockwise around the centre. Fill the open corners with `around`."""
    return image.rotate(degrees, resample=Image.Resampling.BICUBIC, fillcolor=around)


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def jpeg(image: Image.Image, quality: int, exif: Image.Exif | None = None) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, exif=exif or Image.Exif())
    return out.getvalue()
