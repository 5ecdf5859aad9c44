"""The cgroups of a node's pods, one in each hierarchy of the machine."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")


def _hierarchies() -> list[Path]:
    """cgroup v1 has a folder for each controller, v2 one for all."""
    if (MOUNT / "cgroup.controllers").exists():
        return [MOUNT]
    return [each for each in MOUNT.iterdir() if (each / "cgroup.procs").exists()]


def make(name: str) -> None:
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)
        if (hierarchy / "cgroup.subtree_control").exists() and hierarchy == MOUNT:
            controllers = (hierarchy / "cgroup.controllers").read_text().split()
            enable = " ".join(f"+{each}" for each in controllers)
            (hierarchy / "cgroup.subtree_control").write_text(enable)
        _copy_cpus(hierarchy / name)


def _copy_cpus(group: Path) -> None:
    """Copy the CPUs of the parent: a new v1 cpuset is empty and accepts no process."""
    for setting in ("cpuset.cpus", "cpuset.mems"):
        with suppress(OSError):
            if not (group / setting).read_text().strip():
                (group / setting).write_text((group.parent / setting).read_text())


def remove(name: str, patience_s: float = 10.0) -> list[Path]:
    """Remove the cgroups, deepest first. Returns those that still contain a process."""
    deadline = time.monotonic() + patience_s
    while True:
        left = [each / name for each in _hierarchies() if (each / name).is_dir()]
        for top in left:
            for path, _, _ in os.walk(top, topdown=False):
                with suppress(OSError):
                    os.rmdir(path)
        left = [each for each in left if each.is_dir()]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)
