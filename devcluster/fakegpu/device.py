"""A fake GPU is a folder with a few small files; its figures are what a test writes there.

    uuid  name  total      one value each
    used                   bytes that strangers hold: set by the test
    charges/               one file for each process that holds memory: its size in bytes

A charge counts while its process lives: the process keeps a lock on its file, and the kernel takes
the lock back however the process ends, in whatever container. This is also how the C library
(`nvml.c`) does it; the two must agree.
"""

from __future__ import annotations

import fcntl
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

RESOURCE = "nvidia.com/gpu"
TOTAL = 16 << 30
NAME = "Fake GPU"


@dataclass(frozen=True)
class FakeGpu:
    """One device, by its folder. All figures in bytes."""

    root: Path

    @property
    def uuid(self) -> str:
        return (self.root / "uuid").read_text()

    @property
    def total(self) -> int:
        return int((self.root / "total").read_text())

    def set_total(self, amount: int) -> None:
        _replace(self.root / "total", str(amount))

    def set_used(self, amount: int) -> None:
        """What strangers hold from now on, on top of the charges."""
        _replace(self.root / "used", str(amount))

    @property
    def charges(self) -> list[int]:
        """What each living process holds."""
        found = []
        for path in sorted((self.root / "charges").glob("[!.]*")):
            with suppress(FileNotFoundError), path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.append(int(file.read() or b"0"))
        return found

    @property
    def used(self) -> int:
        """As NVML says it: strangers and charges."""
        return int((self.root / "used").read_text()) + sum(self.charges)


def devices(root: Path) -> list[FakeGpu]:
    """The devices below `root`, in the order of their index."""
    return [FakeGpu(each) for each in sorted(root.iterdir(), key=lambda each: int(each.name))]


def _replace(path: Path, content: str) -> None:
    """A reader sees the old figure or the new one, never an empty file."""
    fresh = path.with_name(f".{path.name}")
    fresh.write_text(content)
    fresh.replace(path)


def make(root: Path, total: int = TOTAL) -> FakeGpu:
    """A new device in the folder `root`, all of its memory free."""
    charges = root / "charges"
    charges.mkdir(parents=True)
    # Containers run as whatever user their image says.
    charges.chmod(0o1777)
    values = {"uuid": f"GPU-{uuid.uuid4()}", "name": NAME, "total": str(total), "used": "0"}
    for name, value in values.items():
        (root / name).write_text(value)
    return FakeGpu(root)


def make_all(root: Path, count: int) -> list[FakeGpu]:
    """The devices 0 … count-1 below `root`; those that are there keep their figures."""
    root.mkdir(parents=True, exist_ok=True)
    folders = [root / str(index) for index in range(count)]
    return [FakeGpu(each) if each.is_dir() else make(each) for each in folders]
