"""The parameters of a request, by PaddleX's names, and the whole request of `/ocr`.

Source of the names and types: PaddleX 3.7, `inference/serving/schemas/ocr.py`. The bounds are
ocrpool's: values outside them make PaddleOCR fail or use unbounded memory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

# `logId` is part of every response.
LONGEST_LOG_ID = 4096


class Params(BaseModel):
    """The parameters of one request. None means the engine's default."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, protected_namespaces=())

    use_doc_orientation_classify: bool | None = None
    use_doc_unwarping: bool | None = None
    use_textline_orientation: bool | None = None
    text_det_limit_side_len: int | None = Field(default=None, ge=1, le=100_000)
    text_det_limit_type: Literal["min", "max"] | None = None
    text_det_thresh: float | None = Field(default=None, ge=0, le=1)
    text_det_box_thresh: float | None = Field(default=None, ge=0, le=1)
    text_det_unclip_ratio: float | None = Field(default=None, gt=0, le=10)
    text_rec_score_thresh: float | None = Field(default=None, ge=0, le=1)
    return_word_box: bool | None = None

    def given(self) -> dict[str, Any]:
        """The parameters that the request has set, by their names in snake_case."""
        return {name: value for name in _NAMES if (value := getattr(self, name)) is not None}


_NAMES = tuple(Params.model_fields)


class QueryParams(Params):
    """The query string of `/v1/ocr`. An unknown name is an error."""

    model_config = ConfigDict(extra="forbid")


class OcrRequest(Params):
    """The body of `POST /ocr`. Unknown fields are ignored, as in PaddleX."""

    file: str
    file_type: Literal[0, 1] | None = None
    visualize: bool | None = None
    log_id: str | None = Field(default=None, max_length=LONGEST_LOG_ID)


class _Named(BaseModel):
    log_id: Any = Field(default=None, alias="logId")


def log_id_in(body: bytes | bytearray) -> str | None:
    """The `logId` of an invalid request, if it can be found."""
    try:
        found = _Named.model_validate_json(body).log_id
    except ValidationError:
        return None
    return found if isinstance(found, str) and 0 < len(found) <= LONGEST_LOG_ID else None


def describe_errors(error: ValidationError, *, at: str = "") -> tuple[str, str | None]:
    """Return (a sentence that names every wrong field, the path of the first one)."""
    found = error.errors(include_url=False, include_context=False)
    parts = []
    for item in found:
        message = "no such parameter" if item["type"] == "extra_forbidden" else item["msg"]
        parts.append(f"{location((at, *item['loc']))}: {message}")
    return "; ".join(parts), location(found[0]["loc"]) or None


def errors_as_paddlex(error: ValidationError) -> str:
    """PaddleX's `errorMsg` for a request that does not validate: a JSON list of type, loc, msg."""
    return json.dumps(
        [
            {"type": item["type"], "loc": location(("body", *item["loc"])), "msg": item["msg"]}
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    )


def paddlex_invalid_json(why: str) -> str:
    """PaddleX's `errorMsg` for a body that is not JSON."""
    return json.dumps([{"type": "json_invalid", "loc": "body", "msg": f"Invalid JSON: {why}"}])


def location(steps: Sequence[str | int]) -> str:
    """Join `("body", "file")` to `body.file`. Numbers are written in brackets."""
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step:
            path += f".{step}" if path else step
    return path
