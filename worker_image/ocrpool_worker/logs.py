"""Logging of the worker and of its instances."""

from __future__ import annotations

import logging

from ocrpool.json_logs import RateLimit, configure_logging, limit_levels


def set_up(level: str) -> None:
    """Configure the logs of this process. `level` is a level name of `logging`."""
    configure_logging(level)
    # These libraries report details at `info` that no operator needs.
    limit_levels(logging.WARNING, "asyncio", "aiohttp.access", "PIL")
    # Clients and a full machine can cause the same asyncio error many times a second.
    logging.getLogger("asyncio").addFilter(RateLimit())
