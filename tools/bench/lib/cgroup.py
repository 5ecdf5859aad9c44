"""A memory cgroup with a real limit, at which the kernel kills processes."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.bench.lib.servers import StartError

_MOUNT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryCgroup:
    """`folder`: its path in cgroupfs. File names differ between cgroup v1 and v2."""

    folder: Path
    v2: bool

    def command(self, command: Sequence[str]) -> list[str]:
        """The same command, started inside the cgroup."""
        enter = 'echo $$ > "$0" && exec "$@"'
        return ["sh", "-c", enter, str(self.folder / "cgroup.procs"), *command]

    @property
    def peak(self) -> int:
        """The most bytes that were ever in use."""
        return int(
            (self.folder / ("memory.peak" if self.v2 else "memory.max_usage_in_bytes")).read_text()
        )

    @property
    def killed(self) -> int:
        """Processes that the kernel has killed at the limit."""
        file = self.folder / ("memory.events" if self.v2 else "memory.oom_control")
        fields = dict(line.split() for line in file.read_text().splitlines())
        return int(fields["oom_kill"])

    @property
    def pids(self) -> list[int]:
        return [int(line) for line in (self.folder / "cgroup.procs").read_text().split()]


@contextlib.contextmanager
def memory_cgroup(name: str, limit: int) -> Iterator[MemoryCgroup]:
    """A cgroup with a limit in bytes. At the end its processes are killed and it is removed. Raises
    StartError where this machine or our rights do not allow a cgroup."""
    v2 = (_MOUNT / "cgroup.controllers").is_file()
    folder = (_MOUNT if v2 else _MOUNT / "memory") / f"ocrpool-{name}-{os.getpid()}"
    group = MemoryCgroup(folder, v2)
    try:
        folder.mkdir()
        (folder / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(str(limit))
    except OSError as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise StartError(
            f"no memory cgroup can be made ({error}); run it as root, on cgroup v2 with the "
            "memory controller in cgroup.subtree_control"
        ) from None
    try:
        yield group
    finally:
        _until(lambda: _empty(group))
        folder.rmdir()


def _empty(group: MemoryCgroup) -> bool:
    for pid in group.pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return not group.pids


def _until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not met() and time.monotonic() < deadline:
        time.sleep(0.1)
