"""Starts, finds and ends the processes of a cluster.

A variable in the environment of a process marks its cluster. There is no pid file, which could be
missing (the tool is killed between fork and write) or stale (another process has the pid): `/proc`
is the state.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.devcluster.layout import Folder

FOLDER_MARK = "OCRPOOL_DEVCLUSTER_FOLDER"
NAME_MARK = "OCRPOOL_DEVCLUSTER_PROCESS"


@dataclass(frozen=True)
class RunningProcess:
    """A live process of a cluster."""

    name: str
    pid: int


def environment(folder: Folder, name: str) -> dict[str, str]:
    return {**os.environ, FOLDER_MARK: str(folder.root), NAME_MARK: name}


def start(
    folder: Folder, name: str, argv: Sequence[str | Path], extra: Mapping[str, str] | None = None
) -> int:
    """Start a process that outlives this one, with its output in a log. Returns its pid."""
    folder.logs.mkdir(parents=True, exist_ok=True)
    log_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawnp(
        str(argv[0]),
        [str(word) for word in argv],
        {**environment(folder, name), **(extra or {})},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(folder.log(name)), log_flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def has_ended(child: int) -> bool:
    """Whether a child of this process has ended; a zombie is reaped."""
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:  # reaped before
        return True


def _marks(pid: int) -> dict[str, str]:
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # gone, or another user's
        return {}
    words = (word.partition(b"=") for word in raw.split(b"\0"))
    return {
        key.decode(): value.decode(errors="replace")
        for key, _, value in words
        if key in (FOLDER_MARK.encode(), NAME_MARK.encode())
    }


def _name_in(folder: Folder, pid: int) -> str | None:
    marks = _marks(pid)
    return marks.get(NAME_MARK) if marks.get(FOLDER_MARK) == str(folder.root) else None


def running(folder: Folder) -> list[RunningProcess]:
    """The live processes of a cluster. A zombie has no environment and does not count."""
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    found = ((pid, _name_in(folder, pid)) for pid in pids if pid != os.getpid())
    return [RunningProcess(name, pid) for pid, name in found if name is not None]


def stop(
    folder: Folder, names: Iterable[str] | None = None, patience_s: float = 10.0
) -> list[RunningProcess]:
    """Kill the cluster's processes, all or those named.

    SIGKILL without SIGTERM: `down` must be able to clean up after a kill anyway, and etcd loses no
    data.

    Returns the processes that did not end, because they are stuck in the kernel.
    """
    wanted = None if names is None else set(names)
    deadline = time.monotonic() + patience_s
    while True:
        alive = [each for each in running(folder) if wanted is None or each.name in wanted]
        if not alive or time.monotonic() > deadline:
            return alive
        for each in alive:
            _kill(folder, each)
        time.sleep(0.02)
        for each in alive:
            # Reap children of this process; other processes have another parent.
            has_ended(each.pid)


def _kill(folder: Folder, target: RunningProcess) -> None:
    try:
        handle = os.pidfd_open(target.pid)
    except ProcessLookupError:
        return
    try:
        # The pidfd pins the process. Check its mark again before the signal.
        if _name_in(folder, target.pid) == target.name:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)
