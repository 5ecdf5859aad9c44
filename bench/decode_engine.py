"""An engine that takes the pixels of a page and reads nothing: what decoding costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ocrpool_worker.engine.base import EngineContext, Page, Reading


class DecodeEngine:
    needs_models = False

    def __init__(self, context: EngineContext) -> None:
        pass

    @staticmethod
    def environment(context: EngineContext) -> Mapping[str, str]:
        return {}

    def read(self, page: Page, params: Mapping[str, Any]) -> Reading:
        page.pixels()
        return Reading(lines=())

    def refuse(self, params: Mapping[str, Any]) -> str | None:
        return None

    def device_memory(self) -> int | None:
        return None
