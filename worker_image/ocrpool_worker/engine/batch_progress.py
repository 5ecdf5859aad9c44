"""Report progress after each batch of lines that PaddleOCR recognises.

Recognition takes most of the time on a page with much text, whatever its size. `region_limit`
reports progress during detection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Models of the pipeline (paddlex 3.7, `_OCRPipeline`) that process a page's lines in batches. The
# second exists only with `use_textline_orientation`.
_BATCHED = ("text_rec_model", "textline_orientation_model")


def report_batches(pipeline: Any, progress: Callable[[], None]) -> None:
    """Make a PaddleX OCR pipeline call `progress` after every batch of lines."""
    for name in _BATCHED:
        predictor = getattr(pipeline, name, None)
        if predictor is not None:
            # `BasePredictor.apply` calls it once for each batch.
            predictor.process = reporting(predictor.process, progress)


def reporting(process: Callable[..., Any], progress: Callable[[], None]) -> Callable[..., Any]:
    """A function that calls `process` and then `progress`."""

    def process_and_report(*args: Any, **kwargs: Any) -> Any:
        done = process(*args, **kwargs)
        progress()
        return done

    return process_and_report
