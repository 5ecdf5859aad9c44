"""The result type of the Python pools: one page with its lines, warnings and error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ocrpool_worker.engine.base import Line, PageWarning, Word
from ocrpool_worker.errors import RequestError
from ocrpool_worker.supervisor.requests import PageAnswer


@dataclass(frozen=True)
class Page:
    """The text of one page.

    `source` is the index of its input in `map`, `number` its index in that document; both start at
    0. Sizes and polygons are in pixels. `warnings` name what is missing on a page that was read
    nevertheless, such as a part of a picture in a PDF. `error`: why this page of a document cannot
    be read. Such a page has no lines, and its sizes are 0.

    `angle`: degrees counter-clockwise by which the page was turned before it was read, or None if
    no model looked for it. Polygons are in the page as it was given. `unwarped`: the page was
    flattened before it was read, and polygons are in the flattened page.
    """

    width: int
    height: int
    lines: tuple[Line, ...]
    source: int = 0
    number: int = 0
    warnings: tuple[PageWarning, ...] = ()
    angle: int | None = None
    unwarped: bool = False
    error: RequestError | None = None

    @property
    def text(self) -> str:
        """All lines, joined with newlines."""
        return "\n".join(line.text for line in self.lines)


def page_from_answer(answer: PageAnswer, source: int, number: int) -> Page:
    """The page that an instance's JSON describes."""
    found = json.loads(answer.json)
    return Page(
        answer.width,
        answer.height,
        tuple(_line(item) for item in found["lines"]),
        source,
        number,
        tuple(PageWarning(**each) for each in found.get("warnings", ())),
        found.get("angle"),
        found.get("unwarped", False),
        answer.error,
    )


def raise_error(result: Page | RequestError) -> Page:
    """Return a page that was read; raise the error of an input or of a page."""
    if isinstance(result, RequestError):
        raise result
    if result.error is not None:
        raise result.error
    return result


def _line(item: Mapping[str, Any]) -> Line:
    words = tuple(Word(word["text"], _polygon(word)) for word in item.get("words", ()))
    return Line(item["text"], item["score"], _polygon(item), words)


def _polygon(item: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
    return tuple((x, y) for x, y in item["polygon"])
