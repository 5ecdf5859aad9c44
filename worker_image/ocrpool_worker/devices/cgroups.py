"""The cgroups of this process, in versions 1 and 2 of the kernel's interface."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def groups_of(root: Path, controller: str) -> Iterator[tuple[int, Path]]:
    """Yield (version, folder) of this process's cgroup and of its ancestors. Each one sets limits.

    In a container the root of the mount is usually the container's own cgroup, whatever path the
    kernel names. A folder that does not exist sets no limit. `root` is `/` except in tests.
    """
    mount = root / "sys/fs/cgroup"
    # A line of /proc/self/cgroup names its controllers. The line of version 2 names none.
    for version, name, top in ((2, "", mount), (1, controller, mount / controller)):
        path = PurePosixPath(_path(root / "proc/self/cgroup", name))
        for group in (path, *path.parents):
            yield version, top / str(group).lstrip("/")


def _path(file: Path, controller: str) -> str:
    """The path of this process's cgroup, from lines `NUMBER:CONTROLLERS:PATH`."""
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
