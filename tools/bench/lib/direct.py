"""PaddleOCR called directly, as in a program without a pool. Every measurement compares with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Must be set before Paddle is imported, so the child process gets it.
ENVIRONMENT = {
    "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "True",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def model_arguments(models: Path) -> dict[str, Any]:
    """PaddleOCR's constructor arguments for a folder with one `*_det` and one `*_rec` model."""
    arguments: dict[str, Any] = {
        "use_doc_orientation_classify": False,
        "use_doc_unwarping": False,
        "use_textline_orientation": False,
        "device": "cpu",
        "cpu_threads": 1,
    }
    for role, pattern in (("text_detection", "*_det"), ("text_recognition", "*_rec")):
        found = sorted(models.glob(pattern))
        if len(found) != 1:
            raise SystemExit(f"{models}: expected one folder {pattern}, found {len(found)}")
        arguments[f"{role}_model_name"] = found[0].name
        arguments[f"{role}_model_dir"] = str(found[0])
    return arguments


def build(models: Path) -> Any:
    """Make a `PaddleOCR` on one CPU thread. `ENVIRONMENT` must be set before."""
    from paddleocr import PaddleOCR  # noqa: PLC0415 - seconds, and only in the child

    return PaddleOCR(**model_arguments(models))


def read(ocr: Any, data: bytes) -> Any:
    """Decode an image file as PaddleX does, and read it. Returns PaddleX's result."""
    import cv2  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    (result,) = ocr.predict(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    return result
