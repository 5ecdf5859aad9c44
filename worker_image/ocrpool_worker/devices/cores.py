"""The CPU cores that this process may use: its affinity mask, and the quotas of its cgroups.

`resources.limits.cpu` of a container is such a quota. The machine's number of CPUs is not what
counts: in a container with 4 cores, threads for 64 cores wait for each other most of the time.
"""

from __future__ import annotations

import os
from pathlib import Path

from ocrpool_worker.devices.cgroups import groups_of


def usable_cores(root: Path = Path("/")) -> float:
    """The number of cores, possibly a fraction from a quota. Never 0."""
    found = float(len(os.sched_getaffinity(0)))
    for version, folder in groups_of(root, "cpu"):
        quota = _quota(folder) if version == 2 else _quota_v1(folder)
        if quota is not None:
            found = min(found, quota)
    return found


def _quota(folder: Path) -> float | None:
    """The quota in `cpu.max`: `max PERIOD` (no limit), or `QUOTA PERIOD` in microseconds."""
    return _ratio(_read(folder / "cpu.max").split())


def _quota_v1(folder: Path) -> float | None:
    """The quota of cgroup version 1, where −1 means no limit."""
    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    return _ratio([_read(folder / name).strip() for name in names])


def _ratio(words: list[str]) -> float | None:
    if len(words) != len(("quota", "period")) or not all(word.isdigit() for word in words):
        return None
    quota, period = map(int, words)
    return quota / period if quota and period else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
