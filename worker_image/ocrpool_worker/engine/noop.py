"""An engine that reads nothing. It is for measuring the cost of serving without OCR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ocrpool_worker.engine.base import EngineContext, PageInput, Reading


class NoopEngine:
    """Returns no text for any page, and does not decode pages."""

    needs_models = False

    def __init__(self, context: EngineContext) -> None:
        if context.options:
            raise TypeError(f"the noop engine takes no options, got {sorted(context.options)}")

    @staticmethod
    def environment(context: EngineContext) -> Mapping[str, str]:
        return {}

    def read_page(self, page: PageInput, params: Mapping[str, Any]) -> Reading:
        return Reading(lines=())

    def unsupported_reason(self, params: Mapping[str, Any]) -> str | None:
        return None

    def device_memory(self) -> int | None:
        return None
