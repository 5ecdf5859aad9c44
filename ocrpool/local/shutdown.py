"""Shutdown signals of `ocrpool up`: the first one drains, the second one kills."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


class ShutdownSignals:
    """Handles SIGINT, SIGTERM and SIGHUP. Create it in the event loop before any worker starts.

    The first signal sets `requested`; each further one calls `on_second_signal`.
    """

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.on_second_signal: Callable[[], None] = lambda: None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Under nohup, closing the terminal does not end the pool.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self.requested.is_set():
            self.on_second_signal()
        self.requested.set()
