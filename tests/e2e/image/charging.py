"""A fake OCR engine for the fake GPUs: `engine.name: charging:ChargingEngine`.

It reads no text. Each instance holds `options.bytes` of the GPU through the fake driver, and sleeps
`options.seconds` for a page. Its answer is one line with the size of the page, `WIDTHxHEIGHT`.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping
from typing import Any

from ocrpool_worker.engine.base import EngineContext, Line, PageInput, Reading

GIB = 1 << 30


class ChargingEngine:
    """Takes its memory when it starts; without free memory it raises MemoryError, as Paddle
    does."""

    needs_models = False

    def __init__(self, context: EngineContext) -> None:
        self._seconds = float(context.options.get("seconds", 0.0))
        self._bytes = int(context.options.get("bytes", 2 * GIB))
        if context.device == "cpu":
            self._bytes = 0
            return
        driver = ctypes.CDLL("libnvidia-ml.so.1")
        refused = driver.fakegpuCharge(0, ctypes.c_ulonglong(self._bytes))
        if refused == 1:
            raise MemoryError(f"Out of memory error on GPU 0: no {self._bytes} bytes are free")
        if refused:
            raise OSError(f"the fake driver refuses with {refused}")

    @staticmethod
    def environment(context: EngineContext) -> Mapping[str, str]:
        return {}

    def read_page(self, page: PageInput, params: Mapping[str, Any]) -> Reading:
        height, width = page.pixels().shape[:2]
        time.sleep(self._seconds)
        right, bottom = float(width), float(height)
        polygon = ((0.0, 0.0), (right, 0.0), (right, bottom), (0.0, bottom))
        return Reading(lines=(Line(f"{width}x{height}", 1.0, polygon),))

    def unsupported_reason(self, params: Mapping[str, Any]) -> str | None:
        return None

    def device_memory(self) -> int | None:
        return self._bytes or None
