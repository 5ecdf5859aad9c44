"""Signals to end, once `ocrpool up` has something to end in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


class Stopping:
    """Made in the event loop before anything is started. `asked` is set by SIGINT, SIGTERM or
    SIGHUP; asked again, it is to be now and no longer in order: `hurry` is called."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurry: Callable[[], None] = lambda: None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Under nohup the end of the terminal is no wish to end.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._ask)

    def _ask(self) -> None:
        if self.asked.is_set():
            self.hurry()
        self.asked.set()
