"""An engine that fills the process's free memory with a mark before every page is decoded, and says
whether the mark is in the picture. Each page has another mark, so memory that a decoder does not
write differs from one reading to the next."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np

from ocrpool_worker.engine.base import EngineContext, Line, PageInput, Reading
from ocrpool_worker.instance.warmup import WarmUpPage

MARK = b"another client's page, number "
# Blocks of all sizes that a picture of these tests, or a part of it, can have.
_SIZES = (*range(64, 2048, 64), *(2**n * 3 for n in range(10, 18)), *range(40_000, 400_000, 24_000))
_LARGEST = 2**20


class HeapEngine:
    """Answers two lines: `clean` or what was found, and a digest of the pixels. A request with any
    parameter is decoded by an OpenCV that writes no pixel at all."""

    needs_models = False

    def __init__(self, context: EngineContext) -> None:
        self._libc = ctypes.CDLL(None)
        self._libc.malloc.restype = ctypes.c_void_p
        self._libc.malloc.argtypes = (ctypes.c_size_t,)
        self._libc.free.argtypes = (ctypes.c_void_p,)
        self._numbers = itertools.count()

    @staticmethod
    def environment(context: EngineContext) -> Mapping[str, str]:
        return {}

    def read_page(self, page: PageInput, params: Mapping[str, Any]) -> Reading:
        if isinstance(page, WarmUpPage):
            return Reading(lines=())
        mark = MARK + b"%04d " % next(self._numbers)
        self._fill(mark)
        with _idle_decoder() if params else contextlib.nullcontext():
            pixels = page.pixels()
        found = pixels.tobytes().count(MARK[:24])
        said = f"{found} pieces of another page" if found else "clean"
        digest = hashlib.sha256(pixels.tobytes()).hexdigest()
        corner = ((0.0, 0.0),) * 4
        return Reading(lines=tuple(Line(text, 1.0, corner) for text in (said, digest)))

    def unsupported_reason(self, params: Mapping[str, Any]) -> str | None:
        return None

    def device_memory(self) -> int | None:
        return None

    def _fill(self, mark: bytes) -> None:
        text = mark * (_LARGEST // len(mark) + 1)
        blocks = []
        for size in (*_SIZES, _LARGEST) * 2:
            block = self._libc.malloc(size)
            ctypes.memmove(block, text, size)
            blocks.append(block)
        # One block stays allocated: freed memory at the end of the heap would be returned to the
        # kernel.
        self._libc.malloc(32)
        for block in blocks:
            self._libc.free(block)


@contextlib.contextmanager
def _idle_decoder() -> Iterator[None]:
    decode = cv2.imdecode
    cv2.imdecode = lambda *_: np.empty((240, 360, 3), np.uint8)
    try:
        yield
    finally:
        cv2.imdecode = decode
