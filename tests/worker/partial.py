"""PaddleOCR with some parts replaced, for behaviour that small models or short tests cannot show.

If the first pixel of a page is not white, PaddleX's own `rotate_image` turns the page before it is
read; the blue of that pixel is the number of quarter turns. On a page of the size DENSE the real
detector runs, but nothing is recognised: every region has the text `x`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ocrpool_worker.engine.base import EngineContext, PageInput, Reading
from ocrpool_worker.engine.paddleocr_engine import PaddleOcrEngine

DENSE = (1240, 1000)  # width, height


class PartialEngine(PaddleOcrEngine):
    def __init__(self, context: EngineContext) -> None:
        super().__init__(context)
        self._pipeline = self._ocr.paddlex_pipeline._pipeline
        self._preprocessor = Preprocessor()
        self._pipeline.use_doc_preprocessor = True
        self._pipeline.doc_preprocessor_pipeline = self._preprocessor
        self._recogniser = self._pipeline.text_rec_model

    def read_page(self, page: PageInput, params: Mapping[str, Any]) -> Reading:
        pixels = page.pixels()
        height, width = pixels.shape[:2]
        dense = (width, height) == DENSE
        self._pipeline.text_rec_model = _read_nothing if dense else self._recogniser
        first = int(pixels[0, 0, 0])
        self._preprocessor.angle = 90 * first if first < 4 else 0
        return super().read_page(page, {"use_doc_orientation_classify": True, **params})


def _read_nothing(crops: list[Any], **options: Any) -> Iterator[dict[str, Any]]:
    for _ in crops:
        yield {"rec_text": "x", "rec_score": 1.0, "vis_font": None}


class Preprocessor:
    """PaddleX's preprocessing, with a given answer of the classifier."""

    angle = 0

    def __call__(self, images: list[Any], **switches: bool | None) -> Iterator[Any]:
        from paddlex.inference.pipelines.components import rotate_image  # noqa: PLC0415
        from paddlex.inference.pipelines.doc_preprocessor.result import (  # noqa: PLC0415
            DocPreprocessorResult,
        )

        settings = {"use_doc_orientation_classify": True, "use_doc_unwarping": False}
        for image in images:
            turned = rotate_image(image, self.angle)
            yield DocPreprocessorResult(
                {
                    "input_path": None,
                    "page_index": None,
                    "input_img": image,
                    "model_settings": settings,
                    "angle": self.angle,
                    "rot_img": turned,
                    "output_img": turned,
                }
            )
