"""How much memory this process holds, from the kernel's own accounting."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident() -> tuple[int, int]:
    """(bytes resident now, most bytes ever resident). (0, 0) where /proc does not tell."""
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
