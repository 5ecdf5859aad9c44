"""Logs as one JSON object a line, on standard error."""

from __future__ import annotations

import datetime
import json
import logging
import sys
import time
from collections.abc import Callable

_MOST_KINDS = 256
# What every record has; anything beyond was given as `extra` and is worth writing.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """`time` (UTC, RFC 3339), `level`, `event`, then what the record was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class Seldom(logging.Filter):
    """Lets one record of a kind through in `seconds`, with `leftOut`: how many there were since the
    last one. A kind is a level and the first line of a message before it is formatted."""

    def __init__(
        self, seconds: float = 60.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        # Of each kind: when it was let through last, and how many were left out since.
        self._seen: dict[tuple[int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = (record.levelno, str(record.msg).partition("\n")[0])
        now = self._clock()
        last, left_out = self._seen.get(kind, (float("-inf"), 0))
        if now - last < self._seconds:
            self._seen[kind] = (last, left_out + 1)
            return False
        if len(self._seen) > _MOST_KINDS:
            self._seen.clear()
        self._seen[kind] = (now, 0)
        if left_out:
            record.leftOut = left_out
        return True


def set_up(level: str) -> None:
    """Send all logs of this process to standard error. `level` is a name of `logging`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # A line for which the disk has no room is lost; a traceback that says so needs room as well.
    logging.raiseExceptions = False
    # These tell at `info` what is nobody's business here.
    for name in ("asyncio", "aiohttp.access", "PIL"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # What clients and a full machine make it say, again and again.
    logging.getLogger("asyncio").addFilter(Seldom())
