"""Observe the RAM that this process may use: the cgroup's limit, or the host's memory."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ocrpool.protocol import Problem
from ocrpool_worker.devices.cgroups import groups_of
from ocrpool_worker.devices.snapshot import DeviceIdentity, DeviceSnapshot, checked_snapshot

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class _CgroupFiles:
    """The names of files and fields in one version of cgroups."""

    limit: str
    use: str
    cache: str


# Version of cgroups → names.
_FILES = {
    2: _CgroupFiles("memory.max", "memory.current", "inactive_file"),
    1: _CgroupFiles("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


class RamProbe:
    """Observes the RAM.

    Page cache that the kernel can reclaim (`inactive_file`) does not count as used, as in kubelet's
    working set.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._proc = root / "proc"
        self._identity = DeviceIdentity("cpu", self._processor())

    def identity(self) -> DeviceIdentity:
        return self._identity

    def _processor(self) -> str:
        try:
            lines = (self._proc / "cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            lines = ""
        for line in lines.splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
        return platform.machine()

    def observe(self, pids: Collection[int] = ()) -> DeviceSnapshot:
        host = _fields(self._proc / "meminfo")
        if "MemTotal" not in host or "MemAvailable" not in host:
            message = f"{self._proc / 'meminfo'} has no MemTotal or MemAvailable"
            return DeviceSnapshot(problem=Problem(reason="DeviceUnreadable", message=message))
        total, free = host["MemTotal"] * 1024, host["MemAvailable"] * 1024
        for limit, used in self._limits():
            total, free = min(total, limit), max(0, min(free, limit - used))
        found = checked_snapshot(total, min(total, free), where="the kernel")
        held = {pid: self._resident(pid) for pid in pids}
        return replace(found, resident={pid: size for pid, size in held.items() if size})

    def _resident(self, pid: int) -> int:
        """The resident memory of a process in bytes; 0 if it has exited."""
        try:
            pages = (self._proc / str(pid) / "statm").read_text(encoding="ascii").split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * _PAGE

    def _limits(self) -> Iterator[tuple[int, int]]:
        """(limit, use) of this process's cgroup and of its ancestors. All limits apply."""
        for version, folder in groups_of(self._root, "memory"):
            files = _FILES[version]
            most, now = _number(folder / files.limit), _number(folder / files.use)
            if most is not None and now is not None:
                yield most, max(0, now - _fields(folder / "memory.stat").get(files.cache, 0))


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() else None  # `max` means no limit


def _fields(path: Path) -> dict[str, int]:
    """The lines `name value` or `name: value kB` of one of the kernel's files."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, rest = line.replace(":", " ", 1).partition(" ")
        value = rest.split()
        if value and value[0].isdigit():
            found[name] = int(value[0])
    return found
