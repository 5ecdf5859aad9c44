"""What `ocrpool up` warns of while it runs, on standard error: once for each kind of trouble."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

# What lasts is told again after so long.
AGAIN_SECONDS = 600.0


class Notices:
    """Warnings that serving goes on after. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[str, float] = {}

    def warn(self, kind: str, text: str) -> None:
        """Tell it, unless something of this kind was told a short while ago."""
        now = self._clock()
        if now - self._told.get(kind, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return
        self._told[kind] = now
        # Where even that cannot be written nobody can be told.
        with contextlib.suppress(OSError):
            print(f"ocrpool: warning: {text}", file=sys.stderr, flush=True)
