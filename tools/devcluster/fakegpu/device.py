"""A fake GPU is a folder with a few small files. A test writes its figures there.

    uuid  name  total      one value each
    used                   bytes of other processes: set by the test
    charges/               one file for each process that holds memory: its size in bytes
    bus                    its PCI bus number; without the file its index
    fault                  the NVML error that every call about it returns; 0 or none
    claim                  "TOTAL FREE" that NVML reports instead of the truth; empty or none
    mig/0 … mig/6          MIG slices, each a folder like this; the GPU itself then has no memory

A charge counts while its process lives. The process holds a lock on its file, and the kernel
releases the lock when the process ends, in any container. The C library (`nvml.c`) does the same;
the two must agree.
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
        """Set the bytes of other processes, which are added to the charges."""
        _replace(self.root / "used", str(amount))

    def set_fault(self, error: int) -> None:
        """Let NVML return this error, for example 15 (GPU is lost); 0 ends it."""
        _replace(self.root / "fault", str(error))

    def set_claim(self, total: int, free: int) -> None:
        """Let NVML report these figures instead of the true ones."""
        _replace(self.root / "claim", f"{total} {free}")

    def set_bus(self, bus: int) -> None:
        """Set its PCI bus number, 1 to 255."""
        _replace(self.root / "bus", str(bus))

    def set_name(self, name: str) -> None:
        _replace(self.root / "name", name)

    def end_claim(self) -> None:
        _replace(self.root / "claim", "")

    def slice_up(self, *totals: int) -> list[FakeGpu]:
        """Put it into MIG mode, with a slice of each of these sizes. Returns the slices."""
        folders = [self.root / "mig" / str(index) for index in range(len(totals))]
        return [
            make(folder, total, kind="MIG", name=f"{NAME} MIG {total >> 30}gb")
            for folder, total in zip(folders, totals, strict=True)
        ]

    @property
    def charges(self) -> list[int]:
        """The bytes of each living process."""
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
        """Used bytes as NVML reports them: other processes and charges."""
        return int((self.root / "used").read_text()) + sum(self.charges)


def devices(root: Path) -> list[FakeGpu]:
    """The devices below `root`, by index."""
    return [FakeGpu(each) for each in sorted(root.iterdir(), key=lambda each: int(each.name))]


def _replace(path: Path, content: str) -> None:
    """Write a file atomically: a reader sees the old or the new value."""
    fresh = path.with_name(f".{path.name}")
    fresh.write_text(content)
    fresh.replace(path)


def make(root: Path, total: int = TOTAL, *, kind: str = "GPU", name: str = NAME) -> FakeGpu:
    """Create a device in the folder `root`, with all of its memory free."""
    charges = root / "charges"
    charges.mkdir(parents=True)
    # Containers run as the user of their image.
    charges.chmod(0o1777)
    values = {"uuid": f"{kind}-{uuid.uuid4()}", "name": name, "total": str(total), "used": "0"}
    for file, value in values.items():
        (root / file).write_text(value)
    return FakeGpu(root)


def make_all(root: Path, count: int) -> list[FakeGpu]:
    """The devices 0 … count-1 below `root`. Existing devices keep their figures."""
    root.mkdir(parents=True, exist_ok=True)
    folders = [root / str(index) for index in range(count)]
    return [FakeGpu(each) if each.is_dir() else make(each) for each in folders]
