"""The cgroups that this process is in, as both versions of the kernel's interface show them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def groups_of(root: Path, controller: str) -> Iterator[tuple[int, Path]]:
    """(version, folder) of this process's cgroup and of every one above it: each of them bounds it.

    In a container the mount's root is mostly its own cgroup, whatever path the kernel names;
    folders that are not there say nothing. `root`: `/`, but for tests.
    """
    mount = root / "sys/fs/cgroup"
    # A line of /proc/self/cgroup names its controllers, and version 2's names none.
    for version, name, top in ((2, "", mount), (1, controller, mount / controller)):
        path = PurePosixPath(_path(root / "proc/self/cgroup", name))
        for group in (path, *path.parents):
            yield version, top / str(group).lstrip("/")


def _path(file: Path, controller: str) -> str:
    """This process's cgroup, from lines `NUMBER:CONTROLLERS:PATH`."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "/"
    for line in lines.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            return path
    return "/"
