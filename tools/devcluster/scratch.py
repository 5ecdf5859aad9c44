"""Temporary folders and child processes that do not survive a SIGKILL of this tool."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.devcluster.layout import cache_root

# The kernel kills the child when its parent ends.
KILLED_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
# As root: the kernel also kills the descendants of the child and removes its mounts.
ENCLOSED = (
    *KILLED_WITH_PARENT,
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
)


@contextmanager
def locked(what: str) -> Iterator[None]:
    """Hold a lock; a second process waits."""
    cache_root().mkdir(parents=True, exist_ok=True)
    with (cache_root() / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """An empty folder with a fixed name. Files of a killed run are removed first."""
    folder = parent / ".scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
