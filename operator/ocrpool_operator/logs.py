"""Logging of the operator. A record about a pool has the pool's `namespace/name` as `pool`."""

from __future__ import annotations

import logging

from ocrpool.json_logs import configure_logging, limit_levels

# kopf attaches objects of its own to its records; only these fields are written.
FIELDS = ("pool", "reason")


def set_up(level: str) -> None:
    """Configure the logs of this process. `level` is a level name of `logging`."""
    configure_logging(level, fields=FIELDS)
    limit_levels(logging.WARNING, "kopf", "aiohttp")
