"""The worker: several isolated OCR processes on one device.

For programs: `InstancePool` and `AsyncInstancePool`; for the command line: `ocrpool-worker`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocrpool_worker.api import AsyncInstancePool, InstancePool, Line, Page, PageWarning, Word

__version__ = "0.1.0"
_API = ("AsyncInstancePool", "InstancePool", "Line", "Page", "PageWarning", "Word")
__all__ = [
    "AsyncInstancePool",
    "InstancePool",
    "Line",
    "Page",
    "PageWarning",
    "Word",
    "__version__",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: an instance imports this package before its environment's libraries,
    # and needs nothing of the API.
    if name in _API:
        from ocrpool_worker import api  # noqa: PLC0415

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
