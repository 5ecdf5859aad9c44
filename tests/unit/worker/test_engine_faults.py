"""The classification of an engine's exceptions."""

from __future__ import annotations

import errno

import pytest

from ocrpool_worker.engine.faults import FaultKind, classify_error
from ocrpool_worker.errors import SettingsError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError("(External) CUDA error(999), unknown error."), "device"),
        (RuntimeError("CUDA failure 100: no CUDA-capable device is detected"), "device"),
        (RuntimeError("cuInit failed: CUDA_ERROR_NO_DEVICE"), "device"),
        (RuntimeError("Failed to initialize NVML: Unknown Error"), "device"),
        (
            SettingsError(
                "PaddleOCR cannot be built from engine.options and the staged models: ValueError: "
                "(InvalidArgument) Device id must be less than GPU count, but received id is: 0. "
                "GPU count is: 0."
            ),
            "device",
        ),
        (RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"), "memory"),
        (MemoryError(), "memory"),
        (ValueError("(InvalidArgument) Cannot parse tensor desc"), "engine"),
        (OSError(errno.ENOENT, "no such font"), "engine"),
    ],
    ids=str,
)
def test_errors_are_classified_by_type_and_text(error: Exception, kind: FaultKind) -> None:
    assert classify_error(error) == kind
