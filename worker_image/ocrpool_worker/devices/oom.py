"""Find out whether the kernel's OOM killer ended an instance.

The kernel only reports a count of kills, for each cgroup and for the whole machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ocrpool_worker.devices.cgroups import groups_of

# After this time, a kill that matches no exit of an instance is taken for another process's.
_FRESH_SECONDS = 2.0
# Version of cgroups → the file that has a line `oom_kill NUMBER`.
_FILES = {2: "memory.events", 1: "memory.oom_control"}


class OomKills:
    """Matches the kernel's count of OOM kills with the exits of instances."""

    def __init__(self, now: float, count: Callable[[], int] | None = None) -> None:
        self._count = count or oom_kills
        # Kills up to this count are explained: by an exit of an instance, or by their age.
        self._explained = self._latest = self._count()
        self._since = now

    def expire_unclaimed(self, now: float) -> None:
        """Attribute old kills that no exit has claimed to other processes."""
        if now - self._since >= _FRESH_SECONDS:
            self._explained = max(self._explained, self._latest)
            self._latest, self._since = self._count(), now

    def claim(self) -> bool:
        """Whether an exit that was just observed is explained by a new OOM kill."""
        if self._count() <= self._explained:
            return False
        self._explained += 1
        return True


def oom_kills(root: Path = Path("/")) -> int:
    """The number of kills so far in this process's cgroup, or on the machine if the cgroup has no
    count."""
    for file in _counts(root):
        try:
            lines = file.read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, number = line.partition(" ")
            if name == "oom_kill" and number.strip().isdigit():
                return int(number)
    return 0


def _counts(root: Path) -> Iterator[Path]:
    for version, folder in groups_of(root, "memory"):
        yield folder / _FILES[version]
    yield root / "proc/vmstat"
