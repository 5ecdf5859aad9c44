"""The pages that a new instance reads before it may serve.

PaddleOCR's memory grows with the largest page that it has read and never falls (PaddleX#4506). So
the first pages have the largest admitted size, with text from edge to edge, and the memory
afterwards is what the instance will need. There are two, one in landscape and one in portrait
format, because buffers for one shape are rarely used again for another (docs/scaling.md, "Measured
on a CPU").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

_TEXT = "ocrpool warms up at the largest admitted size 0123456789 "
_LINES = 6  # one batch of PaddleOCR's recogniser


@dataclass(frozen=True, slots=True)
class WarmUpPage:
    """A white page with a batch of full-width lines."""

    height: int  # pixels
    width: int

    def pixels(self) -> Pixels:
        import cv2  # noqa: PLC0415
        import numpy as np  # noqa: PLC0415

        page = np.full((self.height, self.width, 3), 255, np.uint8)
        # Letters of about a fiftieth of the height give the longest lines that the recogniser gets.
        scale = max(0.4, self.height / 50 / 22)
        thickness = max(1, round(scale * 2))
        text = _TEXT * (1 + int(self.width / max(1.0, scale * 18 * len(_TEXT))))
        for line in range(_LINES):
            baseline = (line + 1) * self.height // (_LINES + 1)
            origin = (self.width // 50, baseline)
            font = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(page, text, origin, font, scale, (0, 0, 0), thickness, cv2.LINE_AA)
        return page


def warm_up_pages(max_pixels: int) -> tuple[WarmUpPage, WarmUpPage]:
    """Two pages of `max_pixels` pixels: 4:3 landscape, then 3:4 portrait."""
    short = max(1, math.isqrt(max_pixels * 3 // 4))
    long = max(1, max_pixels // short)
    return WarmUpPage(height=short, width=long), WarmUpPage(height=long, width=short)
