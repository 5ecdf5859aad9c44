"""Sort the lines of a page into reading order.

PaddleX puts two boxes on one line if their tops differ by less than 10 pixels, whatever the size of
the letters. So it reads a slightly rotated scan of 300 dpi from right to left. Here distances are
measured in heights of the lines, along the direction of the page's text. The layout is not
analysed: columns are read row by row, as in PaddleX, because the cells of a table are columns as
well.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, takewhile
from typing import TypeAlias

from ocrpool_worker.engine.base import Line

Points: TypeAlias = "Sequence[tuple[float, float]]"

# Two boxes are on one line if they overlap vertically by this part of the smaller height.
_SHARED = 0.5
# A superscript or subscript overlaps its neighbour by at least this part of its height, has a
# height between these parts of the neighbour's, and a horizontal gap to it smaller than its own
# height.
_SCRIPT_SHARED = 0.25
_SCRIPT_HEIGHT = (0.25, 0.7)
# A box of this many times its neighbours' height can stand beside several lines.
_TALL = 1.5
# A line may rise or fall by this many times its height from one end to the other.
_BENDS = 4.0
# The limit of comparisons, at 2 to 4 microseconds each. A page of 1,000 boxes stays below it, and
# so does one of 20,000 in rows. Thousands of boxes that all stand beside each other exceed it.
_MOST_COMPARISONS = 1_000_000
# PaddleX turns a box before reading it if it is this many times as high as wide.
_UPRIGHT = 1.5


@dataclass(frozen=True, slots=True)
class _Box:
    """A line's box along the direction of the text; `index` is its place in the input."""

    top: float
    left: float
    bottom: float
    right: float
    index: int

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2


def reading_order(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Sort `lines` from top to bottom, and from left to right within a line.

    If most of the page is vertical text, columns go from right to left, and each from top to
    bottom. The result depends neither on the order of `lines` nor on the scale of the page.
    """
    frame = [line.polygon for line in lines]
    if mostly_upright(lines):
        # After a quarter turn, columns from right to left are rows from top to bottom.
        frame = [tuple((y, -x) for x, y in polygon) for polygon in frame]
    slope = _slope(frame)
    boxes = [_box(polygon, slope, index) for index, polygon in enumerate(frame)]
    return tuple(lines[box.index] for box in _ordered(boxes))


def is_upright(line: Line) -> bool:
    """Whether a line is vertical: higher than wide, and of more than one character."""
    across, down = sides(line.polygon)
    return len(line.text) > 1 and down >= _UPRIGHT * across


def mostly_upright(lines: Sequence[Line]) -> bool:
    """Whether more of the text is vertical than horizontal, by length."""
    vertical = sum(sides(line.polygon)[1] for line in lines if is_upright(line))
    return 2 * vertical > sum(max(sides(line.polygon)) for line in lines)


def sides(polygon: Points) -> tuple[float, float]:
    """(width, height) of a box whose corners go clockwise from the top left; of any other polygon,
    those of the rectangle around it. In the unit of the corners."""
    if len(polygon) == 4:
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = polygon
        width = max(_length(bx - ax, by - ay), _length(cx - dx, cy - dy))
        return width, max(_length(dx - ax, dy - ay), _length(cx - bx, cy - by))
    across, down = zip(*polygon, strict=True)
    return max(across) - min(across), max(down) - min(down)


def _length(x: float, y: float) -> float:
    return float((x * x + y * y) ** 0.5)


def _slope(polygons: Sequence[Points]) -> float:
    """The slope of the page's text: the median over all boxes, weighted by the square of their
    lengths, because letters and rounding distort the slope of a short box."""
    found = []
    for polygon in polygons:
        if len(polygon) != 4:
            continue
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = polygon
        run, fall = (bx - ax) + (cx - dx), (by - ay) + (cy - dy)
        if run > 2 * abs(fall):  # text at a steep angle does not follow the page's direction
            found.append((fall / run, run * run))
    found.sort()
    half = sum(weight for _, weight in found) / 2
    for slope, weight in found:
        half -= weight
        if half <= 0:
            return slope
    return 0.0


def _box(polygon: Points, slope: float, index: int) -> _Box:
    across = sorted(x + slope * y for x, y in polygon)
    down = sorted(y - slope * x for x, y in polygon)
    half = max(1, len(down) // 2)
    # The means of the upper and of the lower corners, so that a remaining slope has no effect.
    return _Box(sum(down[:half]) / half, across[0], sum(down[-half:]) / half, across[-1], index)


def _ordered(boxes: Sequence[_Box]) -> list[_Box]:
    """Sort row by row from the top. Boxes beside a box of several lines' height are read as a block
    before or after it, so the parts that are still to be sorted are kept on a stack."""
    comparisons = 0
    done: list[_Box] = []
    todo: list[list[_Box]] = [sorted(boxes, key=_from_the_top)]
    while todo:
        part = todo.pop()
        if len(part) < 2:
            done += part
            continue
        if comparisons > _MOST_COMPARISONS:
            done += _simple_rows(part)
            continue
        row, near = _row(part)
        lowest = max(box.bottom for box in row)
        comparisons += near + bisect_left(part, lowest, key=lambda box: box.top)
        split = _beside_a_tall_one(part, row)
        if split is None:
            done += row
            todo.append(_without(part, row))
        else:
            left, tall, right = split
            todo += [_without(part, [*left, tall, *right]), right, [tall], left]
    return done


def _from_the_top(box: _Box) -> tuple[float, ...]:
    return (box.top, box.left, box.bottom, box.right, box.index)


def _from_the_left(box: _Box) -> tuple[float, ...]:
    return (box.left, *_from_the_top(box))


def _without(part: list[_Box], taken: Sequence[_Box]) -> list[_Box]:
    """`part` without `taken`, whose boxes are near its beginning."""
    indexes = {box.index for box in taken}
    first = 0
    rest: list[_Box] = []
    while indexes:
        box = part[first]
        if box.index in indexes:
            indexes.remove(box.index)
        else:
            rest.append(box)
        first += 1
    return rest + part[first:]


def _simple_rows(boxes: Sequence[_Box]) -> list[_Box]:
    """Sort boxes, already sorted from the top, into rows with one comparison each."""
    rows: list[list[_Box]] = []
    for box in boxes:
        if rows and _on_one_line(box, rows[-1][0]):
            rows[-1].append(box)
        else:
            rows.append([box])
    return [box for row in rows for box in sorted(row, key=_from_the_left)]


def _row(boxes: list[_Box]) -> tuple[list[_Box], int]:
    """Return the first box and those on its line, from left to right, and the number of
    comparisons.

    Each box is compared with its neighbour in the row, so the row may bend, as on a photo of an
    open book.
    """
    first = line = boxes[0]
    lowest, height = first.bottom, first.height
    near: list[_Box] = []
    for box in islice(boxes, 1, None):
        if box.top >= lowest + _BENDS * height:
            break
        near.append(box)
        if _on_one_line(box, first):
            lowest, height = max(lowest, box.bottom), max(height, box.height)
            # The first box is a superscript: the row continues on the line of its neighbour.
            if line is first and _is_script(first, box):
                line = box
    by_right = sorted(near, key=lambda box: (-box.right, *_from_the_top(box)))
    by_left = sorted(near, key=_from_the_left)
    before = _chain(first, line, by_right, lambda box, last: box.middle < last.middle)
    after = _chain(first, line, by_left, lambda box, last: box.middle > last.middle)
    return [*reversed(before), first, *after], len(near)


def _chain(
    first: _Box,
    line: _Box,
    candidates: Sequence[_Box],
    further: Callable[[_Box, _Box], bool],
) -> list[_Box]:
    """Those of `candidates`, sorted by distance, that continue the line of `line` from `first`."""
    chain: list[_Box] = []
    last = first
    for box in candidates:
        if further(box, last) and not _over_each_other(box, last) and _on_one_line(box, line):
            chain.append(box)
            last = box
            # A comma, a trade mark or a script is not a reference for the line's position.
            if box.height >= _SHARED * line.height and not _is_script(box, line):
                line = box
    return chain


def _beside_a_tall_one(
    boxes: list[_Box], row: list[_Box]
) -> tuple[list[_Box], _Box, list[_Box]] | None:
    """If the tallest box of a row stands beside several lines: (boxes left of it, the box itself,
    boxes right of it). Otherwise None."""
    tall = max(row, key=lambda box: (box.height, -box.left, -box.index))
    inside = [
        box
        for box in takewhile(lambda box: box.top < tall.bottom, boxes)
        if box is not tall and tall.height >= _TALL * box.height and _on_one_line(box, tall)
    ]
    found = {box.index: box for box in (*row, *inside) if box is not tall}
    if len(found) < len(row):  # nothing but the row is beside it
        return None
    beside = sorted(found.values(), key=_from_the_top)
    left = [box for box in beside if box.middle < tall.middle]
    right = [box for box in beside if box.middle >= tall.middle]
    if _stacked(left) and _stacked(right):
        # Lines continue behind it, as behind a stamp.
        return None
    return left, tall, right


def _on_one_line(one: _Box, other: _Box) -> bool:
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    if shared >= _SHARED * min(one.height, other.height):
        return True
    return shared > 0 and (_is_script(one, other) or _is_script(other, one))


def _is_script(small: _Box, line: _Box) -> bool:
    """Whether a box can be a superscript or subscript of another: it is much smaller, beside it,
    and reaches beyond its top or bottom."""
    least, most = _SCRIPT_HEIGHT
    if not least * line.height <= small.height <= most * line.height:
        return False
    if line.top <= small.top and small.bottom <= line.bottom:
        return False
    shared = min(small.bottom, line.bottom) - max(small.top, line.top)
    gap = max(small.left, line.left) - min(small.right, line.right)
    return (
        shared >= _SCRIPT_SHARED * small.height
        and abs(gap) < small.height
        and not _over_each_other(small, line)
    )


def _over_each_other(one: _Box, other: _Box) -> bool:
    shared = min(one.right, other.right) - max(one.left, other.left)
    return shared > _SHARED * min(one.right - one.left, other.right - other.left)


def _stacked(boxes: Sequence[_Box]) -> bool:
    """Whether two of them, sorted from the top, stand one under the other."""
    return any(not _on_one_line(one, other) for one, other in pairwise(boxes))
