"""Temporary folders and child processes that a SIGKILL of this tool does not leave behind."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.devcluster.layout import cache_root

# The child is killed when its parent ends, however that ends.
TIED = ("setpriv", "--pdeathsig", "KILL")
# As root, also with all that the child started, and all that it mounted.
ENCLOSED = (*TIED, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")


@contextmanager
def locked(what: str) -> Iterator[None]:
    """One process at a time; a second one waits."""
    cache_root().mkdir(parents=True, exist_ok=True)
    with (cache_root() / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """An empty folder, always the same one: what a killed run left in it is removed first."""
    folder = parent / ".scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
