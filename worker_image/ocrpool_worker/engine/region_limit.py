"""How many pieces of text PaddleX's detector hands on, and that it says that it comes on.

`DBPostProcess` looks at the first `max_candidates` contours (1,000 in the models' own
`inference.yml`) in the order in which OpenCV finds them, which is from the bottom of the page up:
what is beyond is lost from the top, and nothing says so. Here it looks at all of them, and of the
boxes that are left those highest on the page are kept. It looks at some 10,000 contours a second,
and noise has 100,000 of them, so each counts as progress.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ocrpool_worker.engine.batch_progress import reporting

# More contours than the detector's map of a page has: it is at most 4,000 pixels a side, and a
# box has at least 3.
_ALL_CONTOURS = 2_000_000

# Steps of `DBPostProcess` (paddlex 3.7) that it takes with each contour: with a quadrangle the
# first, with a polygon (`box_type="poly"`) one of the others.
_STEPS = ("get_mini_boxes", "box_score_fast", "box_score_slow")


class RegionLimit:
    """Stands before a detector's post-processor, and keeps `most` boxes of each page. It calls
    `progress` when the detector has done its part, and at each contour."""

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
        self.left_out = 0  # boxes of the page that was read last

    def __call__(self, *arguments: Any, **options: Any) -> tuple[list[Any], list[Any]]:
        """(boxes, scores) of each picture, as `DBPostProcess` gives them."""
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
    """The places of the `most` boxes that begin highest on the page, in the order of `boxes`. Each
    box is an array of (x, y)."""
    corners = (box.tolist() for box in boxes)  # looked at one by one in an array, 5 times as slow
    tops = [(min(y for _, y in box), min(x for x, _ in box), at) for at, box in enumerate(corners)]
    return sorted(at for _, _, at in sorted(tops)[:most])


def limit_regions(pipeline: Any, most: int, progress: Callable[[], None]) -> RegionLimit | None:
    """Set the limit in a built PaddleX OCR pipeline. None where its detector has no such
    post-processor (the `transformers` engine), and so no such limit."""
    post_process = getattr(pipeline.text_det_model, "post_op", None)
    if not hasattr(post_process, "max_candidates"):
        return None
    limit = RegionLimit(post_process, most, progress)
    pipeline.text_det_model.post_op = limit
    return limit
