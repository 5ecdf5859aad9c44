"""A fake engine that takes memory of a fake GPU, as PaddleOCR takes it of a real one.

It holds a context from its start, memory that follows the largest page so far and never falls, and
tells only the latter of itself: Paddle does not see its context either.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import Any

from ocrpool_worker.engine.base import EngineContext
from tests.fake_engine import FakeEngine

CONTEXT = 512 << 20
_OUT_OF_MEMORY = 1


class FakeGpuEngine(FakeEngine):
    """`engine.options.vram`: bytes that it takes of the GPU, its context aside, when it reads the
    first warm-up page; an order's `vram` on a page raises that."""

    def __init__(self, context: EngineContext) -> None:
        self._driver = ctypes.CDLL("libnvidia-ml.so.1")
        self._gpu = os.environ["CUDA_VISIBLE_DEVICES"].encode()
        self._vram = -1
        self._charge(0)
        super().__init__(context)
        warm = dict(self._options.get("warm", {}))
        self._options = {**self._options, "warm": warm | {"vram": self._options.get("vram", 0)}}

    @staticmethod
    def environment(context: EngineContext) -> Mapping[str, str]:
        """Its limit arrives as Paddle's does: once, and without the context in it."""
        limit = context.memory_limit
        return {} if limit is None else {"FAKEGPU_MEMORY_LIMIT": str(limit)}

    def obey(self, order: Mapping[str, Any]) -> None:
        self._charge(order.get("vram", 0))
        super().obey(order)

    def device_memory(self) -> int | None:
        return self._vram

    def _charge(self, vram: int) -> None:
        if vram <= self._vram:
            return
        if vram > int(os.environ.get("FAKEGPU_MEMORY_LIMIT", vram)):
            raise MemoryError(f"Out of memory error on GPU: {vram} bytes are over the limit")
        error = self._driver.fakegpuChargeUuid(self._gpu, ctypes.c_ulonglong(CONTEXT + vram))
        if error == _OUT_OF_MEMORY:
            raise MemoryError(f"Out of memory error on GPU: cannot allocate {vram} bytes")
        if error:
            raise OSError(f"External error: CUDA error (NVML says {error})")
        self._vram = vram
