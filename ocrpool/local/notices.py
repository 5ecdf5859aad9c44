"""Warnings of `ocrpool up` on standard error, once for each kind of problem."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

# A problem that lasts is reported again after this time.
REPEAT_SECONDS = 600.0


class Notices:
    """Prints warnings about problems that do not stop the pool. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last_printed: dict[str, float] = {}

    def warn(self, kind: str, text: str) -> None:
        """Print `text`, unless a warning of this kind was printed recently."""
        now = self._clock()
        if now - self._last_printed.get(kind, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return
        self._last_printed[kind] = now
        # Standard error may be closed or on a full disk; the pool keeps serving.
        with contextlib.suppress(OSError):
            print(f"ocrpool: warning: {text}", file=sys.stderr, flush=True)
