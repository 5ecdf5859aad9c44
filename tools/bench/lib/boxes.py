"""The picture of the demo: a page with the boxes of its lines, and beside it the text that was
read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from tools.bench.lib.page_image import INK, WHITE, Colour, font

_COLOURS: tuple[Colour, ...] = ((212, 62, 62), (36, 124, 76), (52, 92, 200), (196, 120, 20))


@dataclass(frozen=True)
class BoxedLine:
    """A line of an answer of `POST /v1/ocr`; `polygon` in pixels, clockwise from the top left."""

    text: str
    score: float
    polygon: tuple[tuple[float, float], ...]


def draw_boxes(page: bytes, lines: Sequence[BoxedLine]) -> Image.Image:
    """Draw the page with boxes around its lines on the left, and their text on the right."""
    picture = Image.open(io.BytesIO(page)).convert("RGB")
    both = Image.new("RGB", (picture.width * 2, picture.height), WHITE)
    both.paste(picture, (0, 0))
    draw = ImageDraw.Draw(both)
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        draw.polygon(line.polygon, outline=colour, width=3)
        beside = [(x + picture.width, y) for x, y in line.polygon]
        draw.polygon(beside, outline=colour, width=1)
        left, top = min(x for x, _ in beside), min(y for _, y in beside)
        width = max(x for x, _ in beside) - left
        height = max(y for _, y in beside) - top
        draw.text(
            (left + width / 2, top + height / 2),
            line.text,
            font=font(_fitting(line.text, width, height)),
            fill=INK,
            anchor="mm",
        )
    draw.line((picture.width, 0, picture.width, picture.height), fill=(160, 166, 178), width=2)
    return both


def _fitting(text: str, width: float, height: float) -> int:
    """The largest font size, in pixels, with which `text` fits the box; at least 8."""
    size = max(8, int(height * 0.72))
    width_at_size = font(size).getlength(text)
    return size if width_at_size <= width else max(8, int(size * width / width_at_size))
