"""Logs as one JSON object a line, on standard error."""

from __future__ import annotations

import datetime
import json
import logging
import sys

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


def set_up(level: str) -> None:
    """Send all logs of this process to standard error. `level` is a name of `logging`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # These tell at `info` what is nobody's business here.
    for name in ("asyncio", "aiohttp.access", "PIL"):
        logging.getLogger(name).setLevel(logging.WARNING)
