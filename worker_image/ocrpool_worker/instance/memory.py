"""How much memory this process holds, from the kernel's own accounting."""

from __future__ import annotations

import resource
import time
from pathlib import Path

_STATUS = Path("/proc/self/status")
# Reading it costs tens of microseconds: nothing beside a page, much beside an engine that does
# nothing.
_FRESH_SECONDS = 0.05


class Resident:
    """Resident memory, looked at again where the last look is older than a short page."""

    def __init__(self) -> None:
        self._read_at = 0.0
        self._last = (0, 0)

    def read(self) -> tuple[int, int]:
        """(bytes resident now, most bytes ever resident); (0, 0) where /proc does not tell."""
        now = time.monotonic()
        if now - self._read_at >= _FRESH_SECONDS:
            self._last, self._read_at = _resident(), now
        return self._last


def limit_data(size: int) -> None:
    """Cap this process's own memory (RLIMIT_DATA: heap and private mappings) at `size` bytes.

    What is beyond fails to be allocated, which engines report as out of memory, instead of growing
    until the kernel ends somebody. Mapped files and libraries do not count.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def _resident() -> tuple[int, int]:
    now = peak = 0
    try:
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmRSS:"):
                now = int(line.split()[1]) * 1024
            elif line.startswith("VmHWM:"):
                peak = int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return 0, 0
    return now, max(now, peak)
