"""The engine `paddleocr`. Paddle is imported when an engine is created, only in an instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpool_worker.engine.base import EngineContext, Line, PageInput, Reading
from ocrpool_worker.engine.batch_progress import report_batches
from ocrpool_worker.engine.margins import cut_margin, margin_of, with_margin
from ocrpool_worker.engine.orientation import keep_orientation_score, turned_back
from ocrpool_worker.engine.reading_order import reading_order
from ocrpool_worker.engine.region_limit import limit_regions
from ocrpool_worker.engine.result_warnings import (
    detector_scale,
    low_resolution,
    nothing_read,
    orientation_unsure,
    regions_limited,
)
from ocrpool_worker.engine.word_boxes import words_by_line
from ocrpool_worker.errors import SettingsError

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

FONT = Path(__file__).parent.parent / "assets" / "OcrpoolSans.otf"

# Role of an optional model → the option that decides whether it is loaded.
_OPTIONAL = {
    "doc_orientation_classify": "use_doc_orientation_classify",
    "doc_unwarping": "use_doc_unwarping",
    "textline_orientation": "use_textline_orientation",
}
_REQUIRED = ("text_detection", "text_recognition")
# PaddleX omits these fields from the pruned result.
_PRUNED = frozenset({"input_path", "page_index"})


class PaddleOcrEngine:
    """One `PaddleOCR` pipeline. `options` are passed to its constructor unchanged.

    `<role>_model_name` and `<role>_model_dir` are set from the staged models. An optional part
    without a staged model is switched off. It is an error if the options request it, because
    nothing is downloaded at startup.
    """

    needs_models = True

    def __init__(self, context: EngineContext) -> None:
        arguments = constructor_arguments(context)
        # Imported here, because it takes seconds and a gigabyte of memory, and its environment must
        # be set before.
        from paddleocr import PaddleOCR  # noqa: PLC0415

        self._loaded = {name: bool(arguments[name]) for name in _OPTIONAL.values()}
        self._transformers = arguments.get("engine") == "transformers"
        self._on_gpu = context.device != "cpu"
        try:
            self._ocr = PaddleOCR(**arguments)
        except (TypeError, ValueError) as error:
            raise SettingsError(
                "PaddleOCR cannot be built from engine.options and the staged models: "
                f"{type(error).__name__}: {error}"
            ) from None
        pipeline = self._ocr.paddlex_pipeline._pipeline
        self._max_regions = context.max_regions
        self._regions = limit_regions(pipeline, context.max_regions, context.progress)
        self._orientation = keep_orientation_score(pipeline)
        report_batches(pipeline, context.progress)

    @staticmethod
    def environment(context: EngineContext) -> Mapping[str, str]:
        threads = str(context.cpu_threads)
        limit = {}
        if context.memory_limit is not None and context.device != "cpu":
            # Read once, at import. It limits what Paddle itself allocates (gpu_info.cc).
            limit["FLAGS_gpu_memory_limit_mb"] = str(max(1, context.memory_limit // 2**20))
        return limit | {
            "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "True",
            "PADDLE_PDX_LOCAL_FONT_FILE_PATH": str(FONT),
            "FLAGS_allocator_strategy": "auto_growth",
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
        }

    def read_page(self, page: PageInput, params: Mapping[str, Any]) -> Reading:
        pixels = page.pixels()
        height, width = pixels.shape[:2]
        margin = margin_of(width, height)
        given = with_margin(pixels, margin) if margin else pixels
        (result,) = list(self._ocr.predict(given, **params))
        if set(result) == {"error"}:
            raise ValueError(str(result["error"]))
        if margin:
            cut_margin(result, margin)
        score = self._orientation.score if self._orientation is not None else None
        found = reading_of(result, orientation_score=score)
        left_out = self._regions.left_out if self._regions is not None else 0
        if left_out:
            warning = regions_limited(left_out, self._max_regions)
            found = replace(found, warnings=(warning, *found.warnings))
        return found

    def unsupported_reason(self, params: Mapping[str, Any]) -> str | None:
        if params.get("return_word_box") and self._transformers:
            # That engine logs a warning, and returns only the first letter of a text.
            return "returnWordBox: PaddleOCR's engine `transformers` returns no words"
        for name, loaded in self._loaded.items():
            if params.get(name) and not loaded:
                role = next(role for role, option in _OPTIONAL.items() if option == name)
                return (
                    f"{name} was requested, but no {role} model is loaded; stage one with "
                    "`ocrpool-worker models stage`, or leave the parameter out"
                )
        return None

    def device_memory(self) -> int | None:
        if not self._on_gpu:
            return None
        import paddle  # noqa: PLC0415

        return int(paddle.device.cuda.memory_reserved(0))


def constructor_arguments(context: EngineContext) -> dict[str, Any]:
    """The arguments for `PaddleOCR()`. Raises SettingsError if options and models disagree."""
    options = dict(context.options)
    arguments: dict[str, Any] = {"device": context.device, "cpu_threads": context.cpu_threads}
    for role, folder in context.models.items():
        if role in _OPTIONAL and options.get(_OPTIONAL[role]) is False:
            continue
        arguments[f"{role}_model_name"] = folder.name
        arguments[f"{role}_model_dir"] = str(folder)
    arguments |= options
    for role in _REQUIRED:
        if f"{role}_model_dir" not in arguments:
            raise SettingsError(f"no {role} model among the staged models (models.dir)")
    for role, option in _OPTIONAL.items():
        present = f"{role}_model_dir" in arguments
        if options.get(option) and not present:
            raise SettingsError(
                f"engine.options.{option} needs a {role} model, and none is staged (models.dir)"
            )
        arguments.setdefault(option, present)
    return arguments


def reading_of(result: Any, *, orientation_score: float | None = None) -> Reading:
    """Convert a result of PaddleX's OCR pipeline. `orientation_score`: the score of the page's
    orientation, if a classifier determined it."""
    preprocessed = result["doc_preprocessor_res"]
    height, width = preprocessed["output_img"].shape[:2]
    # -1 if there was no classifier.
    angle = preprocessed.get("angle", -1)
    unwarped = bool(preprocessed.get("model_settings", {}).get("use_doc_unwarping"))
    lines = list(_found(result))
    looked = angle >= 0
    scale = detector_scale(width, height, result["text_det_params"])
    score = orientation_score if looked else None
    unreadable = nothing_read(lines, scale, preprocessed["output_img"])
    warnings = (
        unreadable,
        None if unreadable else orientation_unsure(lines, looked=looked, score=score),
        None if unreadable else low_resolution(lines, scale),
    )
    # Sorted in the picture that was read, and then mapped back to the one that was sent.
    ordered = reading_order([line for line in lines if line.text])
    return Reading(
        lines=tuple(_line_turned_back(line, max(0, angle), (width, height)) for line in ordered),
        raw=_without(result.json["res"], _PRUNED),
        pictures=lambda: _pictures(result),
        warnings=tuple(warning for warning in warnings if warning is not None),
        angle=angle if looked else None,
        unwarped=unwarped,
    )


def _found(result: Any) -> Iterator[Line]:
    """All detected lines. A line that PaddleX dropped, because its score was below the threshold,
    has no text and the threshold as its score, which is the highest that it can have had."""
    texts, scores = result["rec_texts"], result["rec_scores"]
    read = list(zip(result["rec_polys"], texts, scores, words_by_line(result), strict=True))
    read.reverse()
    for found in result["dt_polys"]:
        polygon = tuple((float(x), float(y)) for x, y in found)
        if read and (read[-1][0] is found or (read[-1][0] == found).all()):
            _, text, score, words = read.pop()
            yield Line(str(text), float(score), polygon, words)
        else:
            yield Line("", float(result["text_rec_score_thresh"]), polygon)


def _line_turned_back(line: Line, angle: int, size: tuple[int, int]) -> Line:
    words = tuple(
        replace(word, polygon=turned_back(word.polygon, angle, size)) for word in line.words
    )
    return replace(line, polygon=turned_back(line.polygon, angle, size), words=words)


def _without(value: Any, keys: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, keys) for key, item in value.items() if key not in keys}
    if isinstance(value, list):
        return [_without(item, keys) for item in value]
    return value


def _pictures(result: Any) -> dict[str, Pixels]:
    import numpy as np  # noqa: PLC0415

    names = {"ocr_res_img": "ocrImage", "preprocessed_img": "docPreprocessingImage"}
    return {
        names[key]: np.asarray(image.convert("RGB"))[:, :, ::-1]
        for key, image in result.img.items()
        if key in names
    }
