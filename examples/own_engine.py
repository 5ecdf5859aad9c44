"""An OCR engine of your own: the smallest one that is useful, with no library but NumPy.

It finds the dark bands of a page, which are its lines of text, and gives each one as a line without
reading it. Replace `find_bands` by a call of your library; everything else stays.

Start a worker with it (`module:attribute`; the module must be importable):

    PYTHONPATH=examples ocrpool-worker serve --set engine.name=own_engine:BandEngine

Under a name of its own, in the `pyproject.toml` of your package:

    [project.entry-points."ocrpool.engines"]
    bands = "own_engine:BandEngine"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ocrpool_worker.engine.base import EngineContext, Line, PageInput, Reading

if TYPE_CHECKING:
    import numpy as np

# Import libraries inside the methods: the supervisor imports this module, too, for `environment`.


class BandEngine:
    """One object in each OCR process. It gets one page at a time, and may crash."""

    # True: the worker checks the staged model files and passes their folders in `context.models`.
    needs_models = False

    def __init__(self, context: EngineContext) -> None:
        """Load the models here. An error is a failed start, and its message reaches the user."""
        self._darkness = int(context.options.get("darkness", 128))

    @staticmethod
    def environment(context: EngineContext) -> Mapping[str, str]:
        """Variables that must be set before the libraries are imported."""
        return {"OMP_NUM_THREADS": str(context.cpu_threads)}

    def read_page(self, page: PageInput, params: Mapping[str, Any]) -> Reading:
        """Read one page. It is decoded here, on the first call of `pixels`."""
        pixels = page.pixels()
        width = float(pixels.shape[1])
        return Reading(
            lines=tuple(
                Line(f"{bottom - top} pixels high", 1.0, corners(width, top, bottom))
                for top, bottom in find_bands(pixels.min(axis=2) < self._darkness)
            )
        )

    def unsupported_reason(self, params: Mapping[str, Any]) -> str | None:
        """Refuse parameters of a request that this engine cannot honour: the client gets 422."""
        return f"{next(iter(params))}: this engine takes no parameters" if params else None

    def device_memory(self) -> int | None:
        """GPU memory that this process holds, if the library knows it."""
        return None


def find_bands(dark: np.ndarray[Any, np.dtype[np.bool_]]) -> Iterator[tuple[int, int]]:
    """The first row of each dark band, and the first one after it."""
    import numpy as np  # noqa: PLC0415

    rows = np.concatenate(([False], dark.any(axis=1), [False])).astype(np.int8)
    edges = np.flatnonzero(np.diff(rows))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def corners(width: float, top: int, bottom: int) -> tuple[tuple[float, float], ...]:
    """The polygon of a band: clockwise from the top left."""
    return ((0.0, float(top)), (width, float(top)), (width, float(bottom)), (0.0, float(bottom)))
