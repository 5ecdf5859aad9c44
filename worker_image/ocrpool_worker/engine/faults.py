"""What an exception out of an engine means for the page, the instance and the worker.

Source: paddle/fluid/pybind/exception.cc maps ResourceExhausted to MemoryError, External (CUDA) to
OSError, InvalidArgument to ValueError and Fatal to SystemError; older builds raise RuntimeError
for all of them, so the text counts too.
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
    """What `error` means; `limited`: this process has a memory limit of its own.

    `memory`: the device or the host ran out. `device`: the CUDA context can no longer be
    trusted. `engine`: anything else, which may be the page's fault or the predictor's."""
    text = str(error)
    # oneDNN passes a failed allocation on without a name (tried with RLIMIT_DATA).
    if limited and text.strip() == "std::exception":
        return "memory"
    # Memory first: Paddle reports a failed cudaMalloc as an external error on some versions.
    if isinstance(error, MemoryError) or _MEMORY.search(text):
        return "memory"
    if _DEVICE.search(text):
        return "device"
    # An OSError of the operating system has an errno (a missing font, say); Paddle's has none.
    if isinstance(error, OSError) and error.errno is None:
        return "device"
    return "engine"
