"""Writes a page's reading as the JSON that goes to the client, in the instance.

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

# PaddleX's server scales pictures down to this before it sends them.
MAX_PICTURE_SIDE = 2000


def page_lines(
    reading: Reading, width: int, height: int, warnings: Sequence[PageWarning] = ()
) -> bytes:
    """One element of `pages` of `/v1/ocr`. `warnings` are in it where there are any, `angle` where
    the engine looked for one, `unwarped` where the page was flattened."""
    lines = [
        {"text": line.text, "score": line.score, "polygon": line.polygon} for line in reading.lines
    ]
    page: dict[str, Any] = {"width": width, "height": height, "lines": lines}
    if reading.angle is not None:
        page["angle"] = reading.angle
    if reading.unwarped:
        page["unwarped"] = True
    if warnings:
        page["warnings"] = [{"reason": one.reason, "message": one.message} for one in warnings]
    return _json(page)


def page_paddlex(reading: Reading, pixels: Pixels | None) -> bytes:
    """One element of `result.ocrResults` of `/ocr`; with `pixels` (the input), with pictures."""
    answer: dict[str, Any] = {"prunedResult": reading.raw or _pruned(reading.lines)}
    if pixels is not None:
        pictures = dict(reading.pictures())
        for name in ("ocrImage", "docPreprocessingImage"):
            if name in pictures:
                answer[name] = _jpeg(pictures[name])
        answer["inputImage"] = _jpeg(pixels)
    return _json(answer)


def _pruned(lines: tuple[Line, ...]) -> Mapping[str, Any]:
    """PaddleX's fields for an engine that has no result of that kind."""
    polygons = [[[round(x), round(y)] for x, y in line.polygon] for line in lines]
    return {
        "rec_texts": [line.text for line in lines],
        "rec_scores": [line.score for line in lines],
        "rec_polys": polygons,
        "rec_boxes": [
            [
                min(x for x, _ in polygon),
                min(y for _, y in polygon),
                max(x for x, _ in polygon),
                max(y for _, y in polygon),
            ]
            for polygon in polygons
        ],
    }


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
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
