"""The log format of every ocrpool process: one JSON object per line, on standard error."""

from __future__ import annotations

import datetime
import json
import logging
import sys
import time
from collections.abc import Callable, Collection

_MAX_KINDS = 256
# The attributes of every log record. Any other attribute was given as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Writes `time` (UTC, RFC 3339), `level`, `event`, the record's `extra` fields, and
    `traceback` for an exception."""

    def __init__(self, fields: Collection[str] | None = None) -> None:
        """`fields`: the names of the `extra` fields to write; None writes them all. Libraries such
        as kopf attach internal objects to their records."""
        super().__init__()
        self._fields = fields

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if self._is_written(key)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)

    def _is_written(self, key: str) -> bool:
        return key not in _STANDARD and (self._fields is None or key in self._fields)


class RateLimit(logging.Filter):
    """Passes one record of a kind per period, with the number of suppressed ones as `leftOut`.

    Two records are of one kind when they have the same level and the same first line of the message
    before it is formatted.
    """

    def __init__(
        self, seconds: float = 60.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        # For each kind: the time of the last passed record, and the suppressed records since then.
        self._last: dict[tuple[int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = (record.levelno, str(record.msg).partition("\n")[0])
        now = self._clock()
        last, suppressed = self._last.get(kind, (float("-inf"), 0))
        if now - last < self._seconds:
            self._last[kind] = (last, suppressed + 1)
            return False
        if len(self._last) > _MAX_KINDS:
            self._last.clear()
        self._last[kind] = (now, 0)
        if suppressed:
            record.leftOut = suppressed
        return True


def configure_logging(level: str, *, fields: Collection[str] | None = None) -> None:
    """Send all logs of this process to standard error as JSON lines.

    `level` is a level name of `logging`, in any case. `fields` is described at `JsonFormatter`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(fields))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # On a full disk a line is lost. A traceback about it would need disk space as well.
    logging.raiseExceptions = False


def limit_levels(level: int, *names: str) -> None:
    """Suppress what the named loggers report below `level`, or below the process's own level."""
    for name in names:
        logging.getLogger(name).setLevel(max(level, logging.root.level))
