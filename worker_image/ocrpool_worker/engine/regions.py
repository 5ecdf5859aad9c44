"""How many pieces of text PaddleX's detector hands on.

`DBPostProcess` looks at the first `max_candidates` contours (1,000 in the models' own
`inference.yml`) in the order in which OpenCV finds them, which is from the bottom of the page up:
what is beyond is lost from the top, and nothing says so. Here it looks at all of them, and of the
boxes that are left those highest on the page are kept.
"""

from __future__ import annotations

from typing import Any

# More contours than the detector's map of a page has: it is at most 4,000 pixels a side, and a
# box has at least 3.
_ALL_CONTOURS = 2_000_000


class RegionLimit:
    """Stands before a detector's post-processor, and keeps `most` boxes of each page."""

    def __init__(self, post_process: Any, most: int) -> None:
        post_process.max_candidates = _ALL_CONTOURS
        self._post_process = post_process
        self._most = most
        self.left_out = 0  # boxes of the page that was read last

    def __call__(self, *arguments: Any, **options: Any) -> tuple[list[Any], list[Any]]:
        """(boxes, scores) of each picture, as `DBPostProcess` gives them."""
        self.left_out = 0
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
    box is a sequence of (x, y)."""
    tops = [(min(y for _, y in box), min(x for x, _ in box), at) for at, box in enumerate(boxes)]
    return sorted(at for _, _, at in sorted(tops)[:most])


def limit_regions(pipeline: Any, most: int) -> RegionLimit | None:
    """Set the limit in a built PaddleX OCR pipeline. None where its detector has no such
    post-processor (the `transformers` engine), and so no such limit."""
    post_process = getattr(pipeline.text_det_model, "post_op", None)
    if not hasattr(post_process, "max_candidates"):
        return None
    limit = RegionLimit(post_process, most)
    pipeline.text_det_model.post_op = limit
    return limit
