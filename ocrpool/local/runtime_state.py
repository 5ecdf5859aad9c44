"""How `ocrpool status` finds what `ocrpool up` runs: one folder a pool, locked while it runs.

The folder also holds the workers' settings and logs. It lies in XDG_RUNTIME_DIR, or else in a
folder of the user's own under the temporary one. The lock, not a pid, says whether it runs: the
kernel lets go of it whatever way the process ends.
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

from ocrpool.local.errors import EXIT_WRONG, LocalError


@dataclass(frozen=True)
class RunningWorker:
    """Ports are 0 until the worker listens."""

    name: str
    device: str
    port: int
    control_port: int
    decision: str


@dataclass(frozen=True)
class Running:
    """What one `ocrpool up` has written of itself."""

    pool: str
    pid: int
    host: str
    workers: tuple[RunningWorker, ...]


def base_folder() -> Path:
    """Where the pools' folders lie. Raises LocalError where it belongs to somebody else."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    name = "ocrpool" if given else f"ocrpool-{os.getuid()}"
    folder = Path(given or tempfile.gettempdir()) / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.lstat().st_uid
    except OSError as error:
        raise LocalError(f"{folder}: {error.strerror}; set XDG_RUNTIME_DIR") from None
    if folder.is_symlink() or owner != os.getuid():
        raise LocalError(f"{folder} is not ours; set XDG_RUNTIME_DIR")
    return folder


@contextmanager
def claimed(pool: str) -> Iterator[Path]:
    """The pool's folder, for as long as we run. Raises LocalError if another one has it."""
    folder = base_folder() / pool
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        opened = (folder / "lock").open("w")
    except OSError as error:
        raise LocalError(f"{folder}: {error.strerror}; make room, or set XDG_RUNTIME_DIR") from None
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = read(folder)
            who = f" (pid {running.pid})" if running is not None else ""
            raise LocalError(
                f"pool {pool} runs already{who}; see `ocrpool status`, or give another "
                "metadata.name",
                status=EXIT_WRONG,
            ) from None
        try:
            yield folder
        finally:
            with suppress(OSError):  # the lock says it, whatever the file says
                (folder / "running.json").unlink()


def write(folder: Path, running: Running) -> None:
    """Replace what is said of a running pool, in one step."""
    fresh = folder / "running.json.new"
    fresh.write_text(json.dumps(asdict(running)), encoding="utf-8")
    fresh.replace(folder / "running.json")


def all_running() -> tuple[Running, ...]:
    """Every pool of this user that runs now."""
    found = []
    for folder in sorted(base_folder().iterdir()):
        running = read(folder) if _locked(folder) else None
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


def read(folder: Path) -> Running | None:
    """What was written of a pool, or None; whether it still runs, the lock says."""
    try:
        raw = json.loads((folder / "running.json").read_text(encoding="utf-8"))
        workers = tuple(RunningWorker(**worker) for worker in raw.pop("workers"))
        return Running(workers=workers, **raw)
    except (OSError, ValueError, KeyError, TypeError):
        return None
