"""A stand-in for Paddle's GPU build: it computes nothing, and takes memory of a fake GPU as Paddle
does of a real one. A context from the first use on, weights, and what the largest page so far asked
for; nothing is given back before the process ends."""

from __future__ import annotations

import ctypes
import os
from types import SimpleNamespace

CONTEXT = 512 * 2**20
WEIGHTS = 256 * 2**20
BY_MEGAPIXEL = 64 * 2**20
_OUT_OF_MEMORY = 1

_driver = ctypes.CDLL("libnvidia-ml.so.1")
_gpu = os.environ["CUDA_VISIBLE_DEVICES"].encode()
_reserved = 0


def take(megapixels: float) -> None:
    """What a page of this size needs. Raises MemoryError, as Paddle's ResourceExhausted arrives."""
    global _reserved  # noqa: PLW0603
    wanted = max(_reserved, WEIGHTS + int(megapixels * BY_MEGAPIXEL))
    error = _driver.fakegpuChargeUuid(_gpu, ctypes.c_ulonglong(CONTEXT + wanted))
    if error == _OUT_OF_MEMORY:
        raise MemoryError(f"ResourceExhaustedError: Out of memory error on GPU 0. {wanted} bytes")
    if error:
        raise OSError(f"(External) CUDA error({error})")
    _reserved = wanted


device = SimpleNamespace(cuda=SimpleNamespace(memory_reserved=lambda index: _reserved))
