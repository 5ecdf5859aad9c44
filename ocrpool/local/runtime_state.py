"""The state files of `ocrpool up`, which `ocrpool status` reads: one folder for each pool.

The folder is in XDG_RUNTIME_DIR, or else in a folder of the user below the temporary folder. It
also holds the settings and logs of the workers. A lock on it, not a pid, says whether the pool
runs: the kernel releases the lock however the process ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ocrpool.local.errors import EXIT_USAGE, LocalError


@dataclass(frozen=True)
class WorkerRuntimeState:
    """Ports are 0 until the worker listens."""

    name: str
    device: str
    port: int
    control_port: int
    decision: str


@dataclass(frozen=True)
class RuntimeState:
    """The state that one `ocrpool up` publishes."""

    pool: str
    pid: int
    host: str
    workers: tuple[WorkerRuntimeState, ...]


def base_folder() -> Path:
    """The parent of the pools' folders. Raises LocalError if another user owns it."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    name = "ocrpool" if given else f"ocrpool-{os.getuid()}"
    folder = Path(given or tempfile.gettempdir()) / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.lstat().st_uid
    except OSError as error:
        raise LocalError(f"{folder}: {error.strerror}; set XDG_RUNTIME_DIR") from None
    if folder.is_symlink() or owner != os.getuid():
        raise LocalError(f"{folder} belongs to another user; set XDG_RUNTIME_DIR")
    return folder


@contextmanager
def claim_pool(pool: str) -> Iterator[Path]:
    """Lock the pool's folder for the block. Raises LocalError if the pool runs already."""
    folder = base_folder() / pool
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        opened = (folder / "lock").open("w")
    except OSError as error:
        raise LocalError(
            f"{folder}: {error.strerror}; free some space, or set XDG_RUNTIME_DIR"
        ) from None
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = read_state(folder)
            pid = f" (pid {running.pid})" if running is not None else ""
            raise LocalError(
                f"pool {pool} runs already{pid}; see `ocrpool status`, or give another "
                "metadata.name",
                status=EXIT_USAGE,
            ) from None
        try:
            yield folder
        finally:
            with suppress(OSError):  # the lock decides, not the file
                (folder / "running.json").unlink()


def write_state(folder: Path, running: RuntimeState) -> None:
    """Replace the state file of a running pool atomically."""
    fresh = folder / "running.json.new"
    fresh.write_text(json.dumps(asdict(running)), encoding="utf-8")
    fresh.replace(folder / "running.json")


def running_pools() -> tuple[RuntimeState, ...]:
    """The pools of this user that run now."""
    found = []
    for folder in sorted(base_folder().iterdir()):
        running = read_state(folder) if _locked(folder) else None
        if running is not None:
            found.append(running)
    return tuple(found)


def _locked(folder: Path) -> bool:
    try:
        with (folder / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def read_state(folder: Path) -> RuntimeState | None:
    """The state file of a pool, or None. It may be of a pool that no longer runs."""
    try:
        raw = json.loads((folder / "running.json").read_text(encoding="utf-8"))
        workers = tuple(WorkerRuntimeState(**worker) for worker in raw.pop("workers"))
        return RuntimeState(workers=workers, **raw)
    except (OSError, ValueError, KeyError, TypeError):
        return None
