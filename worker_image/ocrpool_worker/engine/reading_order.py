"""The order in which the lines of a page are read.

PaddleX takes two boxes for one line where their tops differ by less than 10 pixels, whatever the
size of the letters, so a scan of 300 dpi that is turned a little is read right to left. Here every
distance is measured in heights of the lines themselves, along the direction in which the text of
the page runs. There is no analysis of the layout: columns beside each other are read row by row,
as PaddleX does it, for the cells of a table are columns as well.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise, takewhile
from typing import TypeAlias

from ocrpool_worker.engine.base import Line

Points: TypeAlias = "Sequence[tuple[float, float]]"

# Two boxes are on one line where they share this part of the lower one's height.
_SHARED = 0.5
# A superscript or subscript shares at least this part of its height with what it stands at, has a
# height between these parts of the other's, and is nearer to its side than it is high itself.
_SCRIPT_SHARED = 0.25
_SCRIPT_HEIGHT = (0.25, 0.7)
# A box of so many heights of its neighbours can stand beside several lines of them.
_TALL = 1.5
# So many heights a line may rise or fall from its one end to the other.
_BENDS = 4.0
# So many times a box is held against others, at 2 to 4 microseconds each. A page of 1,000 boxes
# does not get there, nor one of 20,000 in rows; thousands that all stand beside each other do.
_MOST_LOOKS = 1_000_000
# PaddleX turns a box that is so many times as high as wide before it is read.
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
    """`lines` from top to bottom, and from left to right where they stand on one line.

    Where most of the page is vertical text, columns are read from right to left, each from top to
    bottom. The order does not depend on the order of `lines`, nor on the scale of the page.
    """
    frame = [line.polygon for line in lines]
    if mostly_upright(lines):
        # Turned by a quarter, columns from right to left are rows from top to bottom.
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
    """How far the text falls for each step to the right: the median over all boxes, each counting
    as the square of its length. A short box is bent by its letters and by rounding; the page is
    not."""
    found = []
    for polygon in polygons:
        if len(polygon) != 4:
            continue
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = polygon
        run, fall = (bx - ax) + (cx - dx), (by - ay) + (cy - dy)
        if run > 2 * abs(fall):  # text at a steep angle has a direction of its own
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
    # The means of the upper and of the lower corners: what is left of a slope takes no part.
    return _Box(sum(down[:half]) / half, across[0], sum(down[-half:]) / half, across[-1], index)


def _ordered(boxes: Sequence[_Box]) -> list[_Box]:
    """Row by row from the top. What stands beside a box of several lines' height is read as a
    whole, before or after it, so the parts still to be ordered are on a stack."""
    looks = 0
    done: list[_Box] = []
    todo: list[list[_Box]] = [sorted(boxes, key=_from_the_top)]
    while todo:
        part = todo.pop()
        if len(part) < 2:
            done += part
            continue
        if looks > _MOST_LOOKS:
            done += _simple_rows(part)
            continue
        row, near = _row(part)
        lowest = max(box.bottom for box in row)
        looks += near + bisect_left(part, lowest, key=lambda box: box.top)
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
    """`part` without those, which are among its first ones."""
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
    """Boxes that are sorted from the top, row by row: one look at each."""
    rows: list[list[_Box]] = []
    for box in boxes:
        if rows and _on_one_line(box, rows[-1][0]):
            rows[-1].append(box)
        else:
            rows.append([box])
    return [box for row in rows for box in sorted(row, key=_from_the_left)]


def _row(boxes: list[_Box]) -> tuple[list[_Box], int]:
    """The first box and what is on one line with it, from left to right, and how many boxes were
    looked at. Each next box is held against the one beside it: the row may bend, as on a photo of
    an open book."""
    first = line = boxes[0]
    lowest, height = first.bottom, first.height
    near: list[_Box] = []
    for box in islice(boxes, 1, None):
        if box.top >= lowest + _BENDS * height:
            break
        near.append(box)
        if _on_one_line(box, first):
            lowest, height = max(lowest, box.bottom), max(height, box.height)
            # A superscript is above its line, which is where that goes on.
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
    """Of `candidates`, sorted by how near they are, those that go on from `first` with the line
    that `line` stands on."""
    chain: list[_Box] = []
    last = first
    for box in candidates:
        if further(box, last) and not _over_each_other(box, last) and _on_one_line(box, line):
            chain.append(box)
            last = box
            # A comma, a trade mark or a script does not say where the line is.
            if box.height >= _SHARED * line.height and not _is_script(box, line):
                line = box
    return chain


def _beside_a_tall_one(
    boxes: list[_Box], row: list[_Box]
) -> tuple[list[_Box], _Box, list[_Box]] | None:
    """Where the tallest box of a row stands beside several lines: what is left of it, itself, and
    what is right of it."""
    tall = max(row, key=lambda box: (box.height, -box.left, -box.index))
    inside = [
        box
        for box in takewhile(lambda box: box.top < tall.bottom, boxes)
        if box is not tall and tall.height >= _TALL * box.height and _on_one_line(box, tall)
    ]
    found = {box.index: box for box in (*row, *inside) if box is not tall}
    if len(found) < len(row):  # the row is all there is
        return None
    beside = sorted(found.values(), key=_from_the_top)
    left = [box for box in beside if box.middle < tall.middle]
    right = [box for box in beside if box.middle >= tall.middle]
    if _stacked(left) and _stacked(right):
        # Lines go through behind it, as behind a stamp.
        return None
    return left, tall, right


def _on_one_line(one: _Box, other: _Box) -> bool:
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    if shared >= _SHARED * min(one.height, other.height):
        return True
    return shared > 0 and (_is_script(one, other) or _is_script(other, one))


def _is_script(small: _Box, line: _Box) -> bool:
    """Whether a box can be a superscript or subscript of another: it is much lower, at its side,
    and beyond its upper or lower end."""
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
