"""How much memory this process holds, from the kernel's own accounting."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from pathlib import Path

_STATUS = Path("/proc/self/status")
_OOM_SCORE = Path("/proc/self/oom_score_adj")
# The kernel's highest: this process goes before all others of its cgroup.
_FIRST_TO_GO = "1000"
# Reading it costs tens of microseconds: nothing beside a page, much beside an engine that does
# nothing.
_FRESH_SECONDS = 0.05


class Resident:
    """Resident memory, looked at again where the last look is older than a short page."""

    def __init__(self) -> None:
        self._read_at = 0.0
        self._last = (0, 0)

    def read(self) -> tuple[int, int]:
        """(bytes resident now, most bytes ever resident); (0, 0) where /proc does not tell."""
        now = time.monotonic()
        if now - self._read_at >= _FRESH_SECONDS:
            self._last, self._read_at = _resident(), now
        return self._last


@contextlib.contextmanager
def first_to_go() -> Iterator[None]:
    """Where memory runs out meanwhile, the kernel ends this process before those that serve.

    Whoever raised its own score may also bring it back, without any privilege (proc(5)).
    """
    before = None
    with contextlib.suppress(OSError):
        before = _OOM_SCORE.read_text(encoding="ascii")
        _OOM_SCORE.write_text(_FIRST_TO_GO, encoding="ascii")
    try:
        yield
    finally:
        if before is not None:
            with contextlib.suppress(OSError):
                _OOM_SCORE.write_text(before, encoding="ascii")


def limit_data(size: int) -> None:
    """Let this process hold no more than about `size` bytes of its own from now on.

    RLIMIT_DATA counts heap and private mappings, touched or not, so what is mapped and not touched
    at this moment (allocators' arenas, threads' stacks) is added. What is beyond fails to be
    allocated, which engines report as out of memory, instead of growing until the kernel ends
    somebody. Raises MemoryError where it holds more already.
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
    """Fields of /proc/self/status in bytes; without those that it does not have."""
    found = {}
    try:
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            name, _, rest = line.partition("\t")
            if name in names:
                found[name] = int(rest.split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return {}
    return found
