"""An engine that returns the page that it got, as a PNG: one line of base64."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ocrpool_worker.engine.base import Line, PageInput, Reading
from ocrpool_worker.engine.noop import NoopEngine
from ocrpool_worker.instance.warmup import WarmUpPage

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels


class ShownEngine(NoopEngine):
    def read_page(self, page: PageInput, params: Mapping[str, Any]) -> Reading:
        if isinstance(page, WarmUpPage):
            return Reading(lines=())
        pixels = page.pixels()
        assert (pixels.ndim, pixels.shape[2], pixels.dtype) == (3, 3, np.uint8)
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable
        text = base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode()
        return Reading(lines=(Line(text, 1.0, ((0.0, 0.0),) * 4),))


def shown(text: str) -> Pixels:
    """Decode the page from the engine's text."""
    pixels: Pixels = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)
    return pixels
