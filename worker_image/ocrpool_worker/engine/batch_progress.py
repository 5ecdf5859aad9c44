"""Says that a page comes on, after each batch of lines that PaddleOCR recognises.

Recognition is what a page with much text takes long for, whatever its size. (Of the other parts
only the detector's boxes are made piece by piece: see `regions`.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Models of the pipeline (paddlex 3.7, `_OCRPipeline`) that get a page's lines in batches; the
# second is there with `use_textline_orientation` only.
_BATCHED = ("text_rec_model", "textline_orientation_model")


def report_batches(pipeline: Any, progress: Callable[[], None]) -> None:
    """Have a built PaddleX OCR pipeline call `progress` after every batch of lines."""
    for name in _BATCHED:
        predictor = getattr(pipeline, name, None)
        if predictor is not None:
            # `BasePredictor.apply` calls it once a batch.
            predictor.process = reporting(predictor.process, progress)


def reporting(process: Callable[..., Any], progress: Callable[[], None]) -> Callable[..., Any]:
    """`process`, and `progress` called after each call of it."""

    def process_and_report(*args: Any, **kwargs: Any) -> Any:
        done = process(*args, **kwargs)
        progress()
        return done

    return process_and_report
