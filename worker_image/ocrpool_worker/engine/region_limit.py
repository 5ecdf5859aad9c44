"""Limit the pieces of text that PaddleX's detector returns, and report its progress.

`DBPostProcess` examines the first `max_candidates` contours (1,000 in the models' `inference.yml`)
in OpenCV's order, which is from the bottom of the page up. So it silently loses the top of a page
with more. Here it examines all contours, and the highest boxes on the page are kept. It examines
about 10,000 contours a second, and a noisy page has 100,000, so each one counts as progress.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ocrpool_worker.engine.batch_progress import reporting

# More contours than a page can have: the detector's map has at most 4,000 pixels a side, and a box
# at least 3.
_ALL_CONTOURS = 2_000_000

# Methods of `DBPostProcess` (paddlex 3.7) that it calls for each contour: the first for
# quadrangles, one of the others for polygons (`box_type="poly"`).
_STEPS = ("get_mini_boxes", "box_score_fast", "box_score_slow")


class RegionLimit:
    """Wraps a detector's post-processor, and keeps at most `most` boxes of each page. It calls
    `progress` after detection and at each contour."""

    def __init__(
        self, post_process: Any, most: int, progress: Callable[[], None] = lambda: None
    ) -> None:
        post_process.max_candidates = _ALL_CONTOURS
        for name in _STEPS:
            step = getattr(post_process, name, None)
            if step is not None:
                setattr(post_process, name, reporting(step, progress))
        self._progress = progress
        self._post_process = post_process
        self._most = most
        self.left_out = 0  # boxes that were dropped on the latest page

    def __call__(self, *arguments: Any, **options: Any) -> tuple[list[Any], list[Any]]:
        """(boxes, scores) of each picture, as `DBPostProcess` returns them."""
        self.left_out = 0
        self._progress()
        pages, scores = self._post_process(*arguments, **options)
        for page, boxes in enumerate(pages):
            if len(boxes) <= self._most:
                continue
            kept = highest(boxes, self._most)
            self.left_out += len(boxes) - len(kept)
            pages[page] = boxes[kept] if hasattr(boxes, "dtype") else [boxes[i] for i in kept]
            scores[page] = [scores[page][index] for index in kept]
        return pages, scores


def highest(boxes: Any, most: int) -> list[int]:
    """The indexes of the `most` boxes that begin highest on the page, in the order of `boxes`. Each
    box is an array of (x, y)."""
    corners = (box.tolist() for box in boxes)  # reading single items of an array is 5 times slower
    tops = [(min(y for _, y in box), min(x for x, _ in box), at) for at, box in enumerate(corners)]
    return sorted(at for _, _, at in sorted(tops)[:most])


def limit_regions(pipeline: Any, most: int, progress: Callable[[], None]) -> RegionLimit | None:
    """Set the limit in a PaddleX OCR pipeline. None if its detector has no such post-processor (the
    `transformers` engine), and so no such limit."""
    post_process = getattr(pipeline.text_det_model, "post_op", None)
    if not hasattr(post_process, "max_candidates"):
        return None
    limit = RegionLimit(post_process, most, progress)
    pipeline.text_det_model.post_op = limit
    return limit
