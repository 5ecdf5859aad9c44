"""An engine that decodes a page and reads no text, to measure the cost of decoding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ocrpool_worker.engine.base import PageInput, Reading
from ocrpool_worker.engine.noop import NoopEngine


class DecodeEngine(NoopEngine):
    def read_page(self, page: PageInput, params: Mapping[str, Any]) -> Reading:
        page.pixels()
        return Reading(lines=())
