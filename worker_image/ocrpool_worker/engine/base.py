"""What an OCR engine is to an instance.

An engine runs in a process of its own, is asked for one page at a time, and may die. Built-in are
`paddleocr` and `noop`; others are entry points of the group `ocrpool.engines`, or
`module:attribute`.
This module must not import anything heavy: the supervisor loads engine classes to ask for their
environment, and never makes one.
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
    """What an engine is built from.

    `device`: `cpu`, or `gpu:0` (the instance sees only its own GPU, always as number 0).
    `options`: `engine.options` of the settings, untouched.
    `models`: role → folder of the staged and verified model, for example
    `text_detection` → `…/PP-OCRv5_mobile_det`.
    `memory_limit`: bytes that the engine may allocate on its device, None without a limit.
    `max_regions`: most pieces of text that it reads on one page; where a page has more, the reading
    says so (`RegionsLimited`).
    `progress`: to be called, from the thread that reads, whenever a part of a page is done. A page
    may take longer than `admission.timeoutSeconds` as long as that much does not pass between two
    calls. It is cheap: what is called too often is not passed on. It raises a RequestError where
    nobody waits for the page any more: let that through.
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
    """One word of a line, in the order of its text. `polygon` as that of a line, of which it is a
    part: where the line's text begins at another corner, that of its words does."""

    text: str
    polygon: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Line:
    """One line of text. `polygon` is in pixels of the page, and its corners go clockwise from the
    top left of the page as it was turned to be read (`Reading.angle`): of one that stands on its
    head, that corner is at the bottom right. What a single line was turned by beyond that (one that
    runs down the page, one on its head) does not move it: of those, the text begins elsewhere.
    `words` are there where `return_word_box` was asked for."""

    text: str
    score: float
    polygon: tuple[tuple[float, float], ...]
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class PageWarning:
    """Why the text of a page may not be all that the document should hold. `reason` is one
    CamelCase word, `message` a sentence."""

    reason: str
    message: str


@dataclass(frozen=True)
class Reading:
    """What an engine read on one page.

    `lines`: in reading order, in the frame of the page as it was given.
    `warnings`: why the text may not be all, or not right.
    `angle`: degrees counter-clockwise by which the page was turned before it was read (0, 90, 180
    or 270), None where nothing looked for it.
    `unwarped`: the page was flattened first. No way leads back from there: polygons are in the
    flattened page.
    `raw`: the engine's own result as JSON-able data, which `/ocr` answers as `prunedResult`.
    `pictures`: makes the pictures that `/ocr` shows on request, by PaddleX's names (`ocrImage`,
    `docPreprocessingImage`), as H×W×3 uint8 BGR; not called unless they are asked for.
    """

    lines: tuple[Line, ...]
    raw: Mapping[str, Any] | None = None
    pictures: Callable[[], Mapping[str, Pixels]] = field(default=dict)
    warnings: tuple[PageWarning, ...] = ()
    angle: int | None = None
    unwarped: bool = False


class PageInput(Protocol):
    """One page as an engine gets it: decoded when asked, not before."""

    def pixels(self) -> Pixels:
        """H×W×3 uint8, BGR, as `cv2.imdecode` gives it. Raises NotAnImage or TooLarge."""


class Engine(Protocol):
    """One engine in one process. Made by `factory(context)`; any error there is a failed boot."""

    def read_page(self, page: PageInput, params: Mapping[str, Any]) -> Reading:
        """Read one page. `params` are PaddleOCR's per-request parameters in snake_case, without
        those that the request leaves open. Raises what the engine raises; see `faults`."""

    def unsupported_reason(self, params: Mapping[str, Any]) -> str | None:
        """A sentence if this engine cannot honour `params`, else None."""

    def device_memory(self) -> int | None:
        """Bytes of device memory that the engine itself holds, or None where it cannot tell."""


class EngineFactory(Protocol):
    """The engine's class, or a function with these attributes."""

    needs_models: bool

    def __call__(self, context: EngineContext) -> Engine: ...

    def environment(self, context: EngineContext) -> Mapping[str, str]:
        """Environment variables that must be set before the engine's libraries are imported.
        Called in the supervisor, so it must not import them."""


def load_engine(name: str) -> EngineFactory:
    """Find an engine by its entry point or as `module:attribute`. Raises SettingsError."""
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
        raise SettingsError(f"engine.name: {name!r} is no engine: it has no environment()")
    return factory
