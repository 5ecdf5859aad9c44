"""The interface of an OCR engine.

An engine runs in its own process, reads one page at a time, and may crash. `paddleocr` and `noop`
are built in. Others are entry points of the group `ocrpool.engines`, or `module:attribute`.

This module must not import anything heavy: the supervisor loads engine classes to ask for their
environment, but never creates an engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ocrpool_worker.errors import SettingsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

ENGINE_GROUP = "ocrpool.engines"


@dataclass(frozen=True)
class EngineContext:
    """The arguments from which an engine is created.

    `device`: `cpu`, or `gpu:0` (the instance sees only its own GPU, always as number 0).
    `options`: `engine.options` of the settings, unchanged.
    `models`: role → folder of the staged and verified model, for example
    `text_detection` → `…/PP-OCRv5_mobile_det`.
    `memory_limit`: bytes that the engine may allocate on its device, None without a limit.
    `max_regions`: the most pieces of text to read on one page. If a page has more, the result has
    the warning `RegionsLimited`.
    `progress`: call it from the reading thread whenever a part of a page is done. A page may take
    longer than `admission.timeoutSeconds` if the time between two calls stays below that. Calls are
    cheap, and frequent ones are not passed on. It raises a RequestError if nobody waits for the
    page any more: do not catch that.
    """

    device: str
    options: Mapping[str, Any]
    models: Mapping[str, Path]
    cpu_threads: int
    memory_limit: int | None = None
    max_regions: int = 5000
    progress: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Word:
    """One word of a line. Its `polygon` is a part of the line's polygon, and its corners are in the
    same order."""

    text: str
    polygon: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Line:
    """One line of text.

    `polygon` is in pixels of the page. Its corners go clockwise, and the first one is the top left
    of the page as it was turned for reading (`Reading.angle`): on an upside-down page it is at the
    bottom right. If a single line was turned in addition (a vertical or upside-down line), its
    polygon is not: the text of such a line begins at another corner. `words` are set if
    `return_word_box` was requested.
    """

    text: str
    score: float
    polygon: tuple[tuple[float, float], ...]
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class PageWarning:
    """Why the text of a page may be incomplete or wrong. `reason` is one CamelCase word, `message`
    a sentence."""

    reason: str
    message: str


@dataclass(frozen=True)
class Reading:
    """The result of reading one page.

    `lines`: in reading order, with coordinates of the page as it was given.
    `warnings`: why the text may be incomplete or wrong.
    `angle`: degrees counter-clockwise by which the page was turned before reading (0, 90, 180 or
    270), None if no model determined it.
    `unwarped`: the page was flattened before reading. This cannot be reversed, so polygons are in
    the flattened page.
    `raw`: the engine's own result as JSON-able data. `/ocr` returns it as `prunedResult`.
    `pictures`: returns the pictures for `/ocr` by PaddleX's names (`ocrImage`,
    `docPreprocessingImage`), as H×W×3 uint8 BGR. It is called only if they were requested.
    """

    lines: tuple[Line, ...]
    raw: Mapping[str, Any] | None = None
    pictures: Callable[[], Mapping[str, Pixels]] = field(default=dict)
    warnings: tuple[PageWarning, ...] = ()
    angle: int | None = None
    unwarped: bool = False


class PageInput(Protocol):
    """One page to read. It is decoded when `pixels` is called."""

    def pixels(self) -> Pixels:
        """H×W×3 uint8, BGR, as `cv2.imdecode` gives it. Raises NotAnImage or TooLarge."""


class Engine(Protocol):
    """One engine in one process, created by `factory(context)`. An error there is a failed
    start."""

    def read_page(self, page: PageInput, params: Mapping[str, Any]) -> Reading:
        """Read one page.

        `params`: PaddleOCR's per-request parameters in snake_case, only those that the request
        sets. It may raise anything; `faults` classifies the error.
        """

    def unsupported_reason(self, params: Mapping[str, Any]) -> str | None:
        """A sentence that says why this engine does not support `params`, or None if it does."""

    def device_memory(self) -> int | None:
        """Bytes of device memory that the engine itself holds, or None if it does not know."""


class EngineFactory(Protocol):
    """An engine's class, or a function with these attributes."""

    needs_models: bool

    def __call__(self, context: EngineContext) -> Engine: ...

    def environment(self, context: EngineContext) -> Mapping[str, str]:
        """Environment variables that must be set before the engine's libraries are imported.

        The supervisor calls this, so it must not import those libraries.
        """


def load_engine(name: str) -> EngineFactory:
    """Load an engine by the name of its entry point, or as `module:attribute`. Raises
    SettingsError."""
    if ":" in name:
        entry = EntryPoint(name=name, value=name, group=ENGINE_GROUP)
    else:
        found = entry_points(group=ENGINE_GROUP)
        if name not in found.names:
            known = ", ".join(sorted(found.names)) or "none"
            raise SettingsError(f"engine.name: no engine {name!r}; installed are: {known}")
        entry = found[name]
    try:
        factory: EngineFactory = entry.load()
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"engine.name: {name!r} cannot be loaded: {error}") from None
    if not callable(getattr(factory, "environment", None)):
        raise SettingsError(f"engine.name: {name!r} is not an engine: it has no environment()")
    return factory
