"""A stand-in for PaddleOCR over the stand-in Paddle beside it: the worker's own engine code runs on
it. It wants the model folders that it is told, and reads every page as its size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle


class _Result(dict[str, Any]):
    @property
    def json(self) -> dict[str, Any]:
        return {"res": {"rec_texts": self["rec_texts"], "rec_scores": self["rec_scores"]}}

    img: dict[str, Any] = {}  # noqa: RUF012


class _Model:
    """A detector or recogniser of the pipeline, as far as it is set up."""

    def process(self, *_: Any) -> None:
        raise NotImplementedError


class PaddleOCR:
    def __init__(self, *, device: str, **arguments: Any) -> None:
        if device != "gpu:0":
            raise ValueError(f"this build is for gpu:0, not {device}")
        for name, value in arguments.items():
            if name.endswith("_model_dir") and not (Path(value) / "inference.yml").is_file():
                raise ValueError(f"{name}: no model in {value}")
        paddle.take(0)
        pipeline = SimpleNamespace(text_det_model=_Model(), text_rec_model=_Model())
        self.paddlex_pipeline = SimpleNamespace(_pipeline=pipeline)

    def predict(self, pixels: Any, **_: Any) -> Iterator[_Result]:
        height, width = pixels.shape[:2]
        paddle.take(width * height / 1e6)
        box = np.array([[0, 0], [width, 0], [width, height], [0, height]])
        yield _Result(
            doc_preprocessor_res={"output_img": pixels},
            dt_polys=[box],
            text_det_params={"limit_side_len": 64, "limit_type": "min", "max_side_limit": 4000},
            text_rec_score_thresh=0.0,
            rec_polys=[box],
            rec_texts=[f"{width}x{height}"],
            rec_scores=[1.0],
        )
