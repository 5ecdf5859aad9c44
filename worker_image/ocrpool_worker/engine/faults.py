"""Classify exceptions of an engine as faults of memory, device or engine.

Source: paddle/fluid/pybind/exception.cc maps ResourceExhausted to MemoryError, External (CUDA) to
OSError, InvalidArgument to ValueError and Fatal to SystemError. Older builds raise RuntimeError for
all of them, so the text of the exception is examined too.
"""

from __future__ import annotations

import re
from typing import Literal

FaultKind = Literal["memory", "device", "engine"]

_MEMORY = re.compile(
    r"out of memory error|ResourceExhausted|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation"
    r"|std::bad_alloc|insufficient memory|CUDA out of memory|\bENOMEM\b",
    re.IGNORECASE,
)
_DEVICE = re.compile(
    r"\(External\)|\bCUDA error|\bCUDA failure|cudaError|CUDA_ERROR_|CUDNN_STATUS|CUBLAS_STATUS"
    r"|device-side assert|\bNVML\b|no CUDA-capable device|Device id must be less than GPU count",
    re.IGNORECASE,
)


def classify_error(error: BaseException, *, limited: bool = False) -> FaultKind:
    """Classify `error`. `limited`: this process has its own memory limit.

    `memory`: the device or the host ran out of memory. `device`: the CUDA context can no longer be
    trusted. `engine`: anything else, caused by the page or by the predictor.
    """
    text = str(error)
    # oneDNN reports a failed allocation without a name (tested with RLIMIT_DATA).
    if limited and text.strip() == "std::exception":
        return "memory"
    # Memory first: Paddle reports a failed cudaMalloc as an external error on some versions.
    if isinstance(error, MemoryError) or _MEMORY.search(text):
        return "memory"
    if _DEVICE.search(text):
        return "device"
    # An OSError of the operating system has an errno (for a missing font, say). Paddle's has none.
    if isinstance(error, OSError) and error.errno is None:
        return "device"
    return "engine"
