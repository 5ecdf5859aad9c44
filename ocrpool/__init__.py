"""PaddleOCR in several isolated processes: pools for programs, and the command `ocrpool`.

`InstancePool` and `AsyncInstancePool` run OCR processes on one device of this machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocrpool.version import VERSION

if TYPE_CHECKING:
    from ocrpool.instance_pool import (
        AsyncInstancePool,
        InstancePool,
        Line,
        Page,
        PageWarning,
        RequestError,
        Word,
    )

__version__ = VERSION
__all__ = [
    "AsyncInstancePool",
    "InstancePool",
    "Line",
    "Page",
    "PageWarning",
    "RequestError",
    "Word",
    "__version__",
]
_POOL_API = frozenset(__all__) - {"__version__"}


def __getattr__(name: str) -> Any:
    # Imported on first use: the operator and the instances import parts of this package and need
    # none of the libraries of the pools.
    if name in _POOL_API:
        from ocrpool import instance_pool  # noqa: PLC0415

        return getattr(instance_pool, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
