"""A fake engine that takes memory of a fake GPU, as PaddleOCR takes it of a real one.

From its start it holds a context. Beyond that it holds memory that follows the largest page and
never falls. It reports only the latter, as Paddle does not report its context either.
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
    """`engine.options.vram`: bytes of the GPU that it takes with the first warm-up page, without
    its context. `vram` in the order of a page raises that."""

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
        """Pass the limit once, without the context in it, as for Paddle."""
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
