"""Writes the result of a page as the JSON that the client gets.

The supervisor joins these pieces and never parses them, so a long page costs it nothing.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ocrpool_worker.engine.base import Line, PageWarning, Reading

if TYPE_CHECKING:
    from ocrpool_worker.engine.base import Pixels

# PaddleX's server scales pictures down to this side before it sends them.
MAX_PICTURE_SIDE = 2000


def page_lines(
    reading: Reading, width: int, height: int, warnings: Sequence[PageWarning] = ()
) -> bytes:
    """One element of `pages` of `/v1/ocr`. It has `warnings`, and a line has `words`, where there
    are any; `angle` where the engine detected one; `unwarped` where the page was unwarped."""
    lines = [_line(line) for line in reading.lines]
    page: dict[str, Any] = {"width": width, "height": height, "lines": lines}
    if reading.angle is not None:
        page["angle"] = reading.angle
    if reading.unwarped:
        page["unwarped"] = True
    if warnings:
        page["warnings"] = [{"reason": one.reason, "message": one.message} for one in warnings]
    return _json(page)


def lacks_words(reading: Reading) -> bool:
    """Whether the engine has read text and returned no words for it."""
    return any(line.text.strip() and not line.words for line in reading.lines)


def _line(line: Line) -> dict[str, Any]:
    fields = {"text": line.text, "score": line.score, "polygon": line.polygon}
    if line.words:
        fields["words"] = [{"text": word.text, "polygon": word.polygon} for word in line.words]
    return fields


def page_paddlex(reading: Reading, pixels: Pixels | None) -> bytes:
    """One element of `result.ocrResults` of `/ocr`. With `pixels` (the input) it has pictures."""
    answer: dict[str, Any] = {"prunedResult": reading.raw or _pruned(reading.lines)}
    if pixels is not None:
        pictures = dict(reading.pictures())
        for name in ("ocrImage", "docPreprocessingImage"):
            if name in pictures:
                answer[name] = _jpeg(pictures[name])
        answer["inputImage"] = _jpeg(pixels)
    return _json(answer)


def _pruned(lines: tuple[Line, ...]) -> Mapping[str, Any]:
    """PaddleX's fields, for an engine that does not return them itself."""
    polygons = [[[round(x), round(y)] for x, y in line.polygon] for line in lines]
    fields = {
        "rec_texts": [line.text for line in lines],
        "rec_scores": [line.score for line in lines],
        "rec_polys": polygons,
        "rec_boxes": [_box(polygon) for polygon in polygons],
    }
    if any(line.words for line in lines):
        fields["text_word_boxes"] = [[_box(word.polygon) for word in line.words] for line in lines]
        fields["text_word"] = [[word.text for word in line.words] for line in lines]
    return fields


def _box(polygon: Sequence[Sequence[float]]) -> list[int]:
    across, down = zip(*polygon, strict=True)
    return [round(side) for side in (min(across), min(down), max(across), max(down))]


def _jpeg(pixels: Pixels) -> str:
    import cv2  # noqa: PLC0415

    height, width = pixels.shape[:2]
    if max(height, width) > MAX_PICTURE_SIDE:
        factor = MAX_PICTURE_SIDE / max(height, width)
        size = (max(1, int(factor * width)), max(1, int(factor * height)))
        pixels = cv2.resize(pixels, size)
    done, encoded = cv2.imencode(".jpg", pixels)
    if not done:
        raise ValueError(f"a picture of {width}×{height} could not be encoded as JPEG")
    return base64.b64encode(encoded.tobytes()).decode("ascii")


def _json(value: object) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Names in a file may contain lone surrogates, which UTF-8 cannot encode.
    return text.encode(errors="replace")
