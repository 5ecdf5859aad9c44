"""Build words with polygons from the pieces that PaddleX cuts a line into.

PaddleX (3.7, `get_word_info` and `cal_ocr_word_box`) cuts wherever the kind of the letters changes:
`Müller` becomes `M`, `ü` and `ller`. A space is a piece of its own. Each box is an upright
rectangle, even on a tilted line. Here a word is the text between two spaces, or one of PaddleX's
pieces for wide letters (Chinese, Japanese). Its polygon is cut out of the line's polygon.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ocrpool_worker.engine.base import Word

Point = tuple[float, float]
# PaddleX reads a line as vertical if the rectangle around it is this many times as high as wide.
_VERTICAL = 1.5


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a line. `start` and `end` go from 0 at the line's beginning to 1 at its end."""

    text: str
    start: float
    end: float


def words_by_line(result: Any) -> list[tuple[Word, ...]]:
    """The words of each line in `rec_texts` of a PaddleX result. They are empty if
    `return_word_box` was not requested."""
    polygons = result["rec_polys"]
    # A result without lines has no angles either.
    if "text_word" not in result or not len(polygons):
        return [()] * len(polygons)
    turned = _upside_down(result)
    return [
        words_of(pieces, boxes, polygon, upside_down=upside_down)
        for pieces, boxes, polygon, upside_down in zip(
            result["text_word"], result["text_word_region"], polygons, turned, strict=True
        )
    ]


def words_of(
    pieces: Sequence[str], boxes: Sequence[Any], polygon: Any, *, upside_down: bool = False
) -> tuple[Word, ...]:
    """The words of a line with the four corners `polygon`.

    `pieces` and `boxes`: its `text_word` and `text_word_region`. `upside_down`: the line was turned
    by 180° before reading, which the boxes do not reflect.
    """
    corners = [(float(x), float(y)) for x, y in polygon]
    width, height = (max(side) - min(side) for side in zip(*corners, strict=True))
    vertical = height > _VERTICAL * width
    # PaddleX positions the pieces by x, or by y on a vertical line.
    axis, last = (1, 2) if vertical else (0, 1)
    begin = corners[0][axis]
    length = (corners[last][axis] - begin) or 1.0
    spans = []
    for piece, box in zip(pieces, boxes, strict=True):
        places = [min(1.0, max(0.0, (float(point[axis]) - begin) / length)) for point in box]
        spans.append(Span(str(piece), min(places), max(places)))
    words = whole_words(spans)
    if upside_down:
        words = [Span(word.text, 1 - word.end, 1 - word.start) for word in words]
    return tuple(Word(word.text, _part(corners, word, vertical=vertical)) for word in words)


def whole_words(pieces: Sequence[Span]) -> list[Span]:
    """Join pieces to words. Only spaces and wide letters separate words."""
    words: list[Span] = []
    apart = True
    for part in (part for piece in pieces for part in _at_spaces(piece)):
        if part.text.isspace():
            apart = True
            continue
        if words and not apart and not _wide(words[-1].text[-1]) and not _wide(part.text[0]):
            last = words.pop()
            part = Span(last.text + part.text, last.start, max(last.end, part.end))
        words.append(part)
        apart = False
    return words


def _at_spaces(piece: Span) -> Iterator[Span]:
    """Split a piece at its spaces, which are parts as well. All letters count as equally wide."""
    step = (piece.end - piece.start) / (len(piece.text) or 1)
    for part in re.finditer(r"\s+|\S+", piece.text):
        start, end = piece.start + step * part.start(), piece.start + step * part.end()
        yield Span(part.group(), start, end)


def _wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


def _part(corners: Sequence[Point], word: Span, *, vertical: bool) -> tuple[Point, ...]:
    """The part of the line's polygon that a word covers: from its left to its right edge, or, on a
    vertical line, from its upper to its lower edge."""
    start, end = word.start, word.end
    if vertical:
        along = [(0, 3, start), (1, 2, start), (1, 2, end), (0, 3, end)]
    else:
        along = [(0, 1, start), (0, 1, end), (3, 2, end), (3, 2, start)]
    return tuple(_between(corners[one], corners[other], at) for one, other, at in along)


def _between(one: Point, other: Point, at: float) -> Point:
    return one[0] + (other[0] - one[0]) * at, one[1] + (other[1] - one[1]) * at


def _upside_down(result: Any) -> list[bool]:
    """For each line in `rec_polys`, whether it was turned by 180°. `dt_polys` has the same lines in
    the same order, and also those whose score was too low."""
    angles = iter(zip(result["dt_polys"], result["textline_orientation_angles"], strict=True))
    return [
        next(angle == 1 for found, angle in angles if (found == read).all())
        for read in result["rec_polys"]
    ]
