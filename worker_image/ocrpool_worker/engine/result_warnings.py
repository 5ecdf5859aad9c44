"""Why what was read on a page may not be what is on it, as far as the reading itself shows it.

The figures are measured with PP-OCRv5 mobile; docs/pages.md has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from ocrpool_worker.engine.base import Line, PageWarning
from ocrpool_worker.engine.reading_order import sides

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

# Letters of 8 pixels an em give boxes of 11 pixels; below, one character in eight is wrong.
LEAST_LINE = 11.0
# Upright pages read at 0.97 and more, and vertical text at 0.89; pages that were turned against
# the reading direction at 0.46 and less.
LEAST_SCORE = 0.5
# The most likely of four directions is less likely than all others together.
LEAST_ORIENTATION_SCORE = 0.5
# A page that was scaled by no more than this to look for text can hide all of it.
SMALL_SCALE = 0.5
# Grey levels between paper and ink, and the least part of a page that a line of text blackens.
_INK, _INK_PART = 64, 0.0002
# A box that is so many times as long as wide has text in it, rather than a speck or a tick.
_LINE_LIKE = 2.0


def regions_limited(left_out: int, most: int) -> PageWarning:
    """More was found than may be read."""
    return PageWarning(
        "RegionsLimited",
        f"the page has {most + left_out} pieces of text and {most} were read (engine.maxRegions); "
        f"the {left_out} lowest on the page are left out: raise the limit, or send the page in "
        "parts",
    )


def detector_scale(width: int, height: int, params: Mapping[str, Any]) -> float:
    """By how much PaddleX scales a page before it looks for text. `params`: `text_det_params` of
    its result. Source: `DetResizeForTest.resize_image_type0` of PaddleX 3.7."""
    side, kind = params["limit_side_len"], params["limit_type"]
    longer, shorter = max(width, height), min(width, height)
    if kind == "max":
        scale = min(1.0, side / longer)
    elif kind == "min":
        scale = max(1.0, side / shorter)
    else:
        scale = side / longer
    return float(min(scale, params["max_side_limit"] / longer))


def low_resolution(lines: Sequence[Line], scale: float) -> PageWarning | None:
    """Most lines are so low that their letters cannot be told apart. `scale`: of the picture in
    which text was looked for; more than 1 brings nothing, for there is no more to see."""
    # A speck of dust is read as a full stop, or as nothing.
    heights = [min(sides(line.polygon)) for line in lines if len(line.text) > 1]
    if not heights:
        return None
    height = median(heights) * min(1.0, scale)
    if height >= LEAST_LINE:
        return None
    scaled = f" after the page was scaled by {scale:.2g} to look for text" if scale < 1 else ""
    return PageWarning(
        "LowResolution",
        f"lines are {height:.3g} pixels high{scaled} (the median), and from {LEAST_LINE:g} on they "
        "are read reliably: send the page at a higher resolution"
        + (", or in parts" if scale < 1 else ""),
    )


def nothing_read(lines: Sequence[Line], scale: float, pixels: Pixels) -> PageWarning | None:
    """The page was made so small to look for text that there was none to be seen, and it is not
    blank. `pixels`: the page in its full size."""
    read = any(line.text for line in lines) and mean_score(lines) >= LEAST_SCORE
    if scale > SMALL_SCALE or read or not has_ink(pixels):
        return None
    return PageWarning(
        "LowResolution",
        f"the page was scaled by {scale:.2g} to look for text, and none was read: lines must be "
        f"{LEAST_LINE / scale:.0f} pixels high on it to be found; send it in parts",
    )


def has_ink(pixels: Pixels) -> bool:
    """Whether there is something on the page besides its own colour."""
    import numpy as np  # noqa: PLC0415

    green = pixels[:, :, 1]
    counts = np.bincount(green[::4, ::4].ravel(), minlength=256)
    paper = int(counts.argmax())
    different = (green > paper + _INK) | (green < paper - _INK)
    return bool(different.mean() > _INK_PART)


def mean_score(lines: Sequence[Line]) -> float:
    """The mean score of all lines, each counting as much as it is long; 0 for none."""
    weights = [max(sides(line.polygon)) for line in lines]
    total = sum(weights)
    if not total:
        return 0.0
    return sum(line.score * weight for line, weight in zip(lines, weights, strict=True)) / total


def orientation_unsure(
    lines: Sequence[Line], *, looked: bool, score: float | None
) -> PageWarning | None:
    """The page may be turned. `lines`: all that was found, also what could not be read; `looked`:
    a model has looked how the page is turned, and `score` is how sure it was."""
    if score is not None and score < LEAST_ORIENTATION_SCORE:
        return PageWarning(
            "OrientationUnsure",
            f"how the page is turned was decided with a score of {score:.2f} only: send it upright "
            "if its text makes no sense",
        )
    if looked:
        return None
    long = [line for line in lines if _is_long(line)]
    mean = mean_score(long)
    if len(long) < 2 or mean >= LEAST_SCORE:
        return None
    boxes = [sides(line.polygon) for line in long]
    upright = sum(down for across, down in boxes if down > across)
    flat = sum(across for across, down in boxes if down <= across)
    way = "be turned by 90°" if upright > flat else "stand on its head"
    return PageWarning(
        "OrientationUnsure",
        f"what looks like text was read with a mean score of {mean:.2f}: the page may {way}, and "
        "no model that finds out is loaded (doc_orientation_classify); send it upright, or stage "
        "one. Writing that the recogniser does not know looks the same",
    )


def _is_long(line: Line) -> bool:
    across, down = sides(line.polygon)
    return max(across, down) >= _LINE_LIKE * min(across, down)
