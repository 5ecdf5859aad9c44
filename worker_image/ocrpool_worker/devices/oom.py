"""Whether the kernel has ended one of our processes because memory ran out.

It says so nowhere but in a count, kept for each cgroup and for the whole machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ocrpool_worker.devices.cgroups import groups_of

# Seconds for which a kill that no death was found for may still be somebody's of ours.
_FRESH_SECONDS = 2.0
# The file that has a line `oom_kill NUMBER`, by the version of cgroups.
_FILES = {2: "memory.events", 1: "memory.oom_control"}


class OomKills:
    """Told of every look at the device, and asked at every death of an instance."""

    def __init__(self, now: float, count: Callable[[], int] | None = None) -> None:
        self._count = count or oom_kills
        # Kills up to here are explained: by a death of ours, or by being too old to be one's.
        self._explained = self._latest = self._count()
        self._since = now

    def expire_unclaimed(self, now: float) -> None:
        """Some time has passed: a kill that nobody claimed was a stranger's."""
        if now - self._since >= _FRESH_SECONDS:
            self._explained = max(self._explained, self._latest)
            self._latest, self._since = self._count(), now

    def claim(self) -> bool:
        """Whether a death that was just seen is one that the kernel has counted."""
        if self._count() <= self._explained:
            return False
        self._explained += 1
        return True


def oom_kills(root: Path = Path("/")) -> int:
    """Kills so far: of this process's cgroup, or of the machine where that keeps no count."""
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
