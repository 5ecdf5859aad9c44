"""How much memory this process holds, from the kernel's own accounting."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from pathlib import Path

_STATUS = Path("/proc/self/status")
_OOM_SCORE = Path("/proc/self/oom_score_adj")
# The kernel's maximum: it kills this process before all others of its cgroup.
_MAX_OOM_SCORE = "1000"
# A measurement takes tens of microseconds, which is much for an engine that does nothing. So a
# recent one is used again.
_FRESH_SECONDS = 0.05


class ResidentMemory:
    """Measures resident memory, at most once in _FRESH_SECONDS."""

    def __init__(self) -> None:
        self._measured_at = 0.0
        self._last = (0, 0)

    def measure(self) -> tuple[int, int]:
        """(bytes resident now, most bytes ever resident); (0, 0) where /proc has no figure."""
        now = time.monotonic()
        if now - self._measured_at >= _FRESH_SECONDS:
            self._last, self._measured_at = _resident(), now
        return self._last


@contextlib.contextmanager
def preferred_oom_victim() -> Iterator[None]:
    """Where memory runs out meanwhile, the kernel kills this process before those that serve.

    A process that raised its own score may lower it again without any privilege (proc(5)).
    """
    before = None
    with contextlib.suppress(OSError):
        before = _OOM_SCORE.read_text(encoding="ascii")
        _OOM_SCORE.write_text(_MAX_OOM_SCORE, encoding="ascii")
    try:
        yield
    finally:
        if before is not None:
            with contextlib.suppress(OSError):
                _OOM_SCORE.write_text(before, encoding="ascii")


def limit_data(size: int) -> None:
    """Limit this process to about `size` bytes of its own memory from now on.

    RLIMIT_DATA counts heap and private mappings, touched or not. So the memory that is mapped and
    not touched now (allocators' arenas, threads' stacks) is added. An allocation beyond the limit
    fails, which engines report as out of memory. Without a limit the process would grow until the
    kernel kills one. Raises MemoryError where it holds more already.
    """
    fields = _status("VmData:", "RssAnon:")
    held = fields.get("RssAnon:", 0)
    if held > size:
        raise MemoryError(
            f"an instance holds {held >> 20}Mi before its first page, and may hold no more than "
            f"{size >> 20}Mi; raise memory.perInstance"
        )
    untouched = max(0, fields.get("VmData:", 0) - held)
    limit = size + untouched
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _resident() -> tuple[int, int]:
    fields = _status("VmRSS:", "VmHWM:")
    now = fields.get("VmRSS:", 0)
    return now, max(now, fields.get("VmHWM:", 0))


def _status(*names: str) -> dict[str, int]:
    """Those of the named fields of /proc/self/status that exist, in bytes."""
    found = {}
    try:
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            name, _, rest = line.partition("\t")
            if name in names:
                found[name] = int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return {}
    return found
