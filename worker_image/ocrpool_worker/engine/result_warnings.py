"""Warnings that follow from the result of a page: its text may be incomplete or wrong.

The thresholds were measured with PP-OCRv5 mobile; docs/pages.md has the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from ocrpool_worker.engine.base import Line, PageWarning
from ocrpool_worker.engine.reading_order import sides

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

# Letters of 8 pixels an em have boxes of 11 pixels. Below that, one character in eight is wrong.
LEAST_LINE = 11.0
# Upright pages score 0.97 and more, and vertical text 0.89. Pages that are turned the wrong way
# score 0.46 and less.
LEAST_SCORE = 0.5
# Below this, the most likely of four directions is less likely than the others together.
LEAST_ORIENTATION_SCORE = 0.5
# A page that was scaled down to this or less for detection can lose all of its text.
SMALL_SCALE = 0.5
# Grey levels between paper and ink, and the smallest part of a page that one line of text covers.
_INK, _INK_PART = 64, 0.0002
# A box that is this many times as long as wide holds text rather than a speck or a tick.
_LINE_LIKE = 2.0


def regions_limited(left_out: int, most: int) -> PageWarning:
    """The warning for a page with more pieces of text than the limit."""
    return PageWarning(
        "RegionsLimited",
        f"the page has {most + left_out} pieces of text and {most} were read (engine.maxRegions); "
        f"the {left_out} lowest on the page were left out: raise the limit, or send the page in "
        "parts",
    )


def detector_scale(width: int, height: int, params: Mapping[str, Any]) -> float:
    """The factor by which PaddleX scales a page for detection.

    `params`: `text_det_params` of its result. Source: `DetResizeForTest.resize_image_type0` of
    PaddleX 3.7.
    """
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
    """The warning for a page whose lines are mostly too small to be read.

    `scale`: the factor of the picture that was used for detection. Scaling up adds no detail, so
    more than 1 counts as 1.
    """
    # Lines of one character are left out: a speck of dust is read as a full stop.
    heights = [min(sides(line.polygon)) for line in lines if len(line.text) > 1]
    if not heights:
        return None
    height = median(heights) * min(1.0, scale)
    if height >= LEAST_LINE:
        return None
    scaled = f" after the page was scaled by {scale:.2g} to detect text" if scale < 1 else ""
    return PageWarning(
        "LowResolution",
        f"lines are {height:.3g} pixels high{scaled} (the median), and are read reliably from "
        f"{LEAST_LINE:g} pixels on: send the page at a higher resolution"
        + (", or in parts" if scale < 1 else ""),
    )


def nothing_read(lines: Sequence[Line], scale: float, pixels: Pixels) -> PageWarning | None:
    """The warning for a page that is not blank, but was scaled down so far for detection that no
    text was found. `pixels`: the page in its full size."""
    read = any(line.text for line in lines) and mean_score(lines) >= LEAST_SCORE
    if scale > SMALL_SCALE or read or not has_ink(pixels):
        return None
    return PageWarning(
        "LowResolution",
        f"the page was scaled by {scale:.2g} to detect text, and no text was read: lines must be "
        f"{LEAST_LINE / scale:.0f} pixels high on it to be found; send the page in parts",
    )


def has_ink(pixels: Pixels) -> bool:
    """Whether the page holds anything besides its background colour."""
    import numpy as np  # noqa: PLC0415

    green = pixels[:, :, 1]
    counts = np.bincount(green[::4, ::4].ravel(), minlength=256)
    paper = int(counts.argmax())
    different = (green > paper + _INK) | (green < paper - _INK)
    return bool(different.mean() > _INK_PART)


def mean_score(lines: Sequence[Line]) -> float:
    """The mean score of all lines, weighted by their lengths; 0 for no lines."""
    weights = [max(sides(line.polygon)) for line in lines]
    total = sum(weights)
    if not total:
        return 0.0
    return sum(line.score * weight for line, weight in zip(lines, weights, strict=True)) / total


def orientation_unsure(
    lines: Sequence[Line], *, looked: bool, score: float | None
) -> PageWarning | None:
    """The warning for a page that may be turned.

    `lines`: all detected lines, also those that could not be read. `looked`: a model has determined
    the orientation of the page, with `score`.
    """
    if score is not None and score < LEAST_ORIENTATION_SCORE:
        return PageWarning(
            "OrientationUnsure",
            f"the orientation of the page was determined with a score of only {score:.2f}: send it "
            "upright if its text makes no sense",
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
    way = "turned by 90°" if upright > flat else "upside down"
    return PageWarning(
        "OrientationUnsure",
        f"what looks like text was read with a mean score of {mean:.2f}: the page may be {way}, "
        "and no model for orientation is loaded (doc_orientation_classify); send it upright, or "
        "stage such a model. A script that the recogniser does not know looks the same",
    )


def _is_long(line: Line) -> bool:
    across, down = sides(line.polygon)
    return max(across, down) >= _LINE_LIKE * min(across, down)
