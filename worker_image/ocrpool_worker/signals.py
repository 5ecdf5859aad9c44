"""SIGINT and SIGTERM while a command starts.

Python turns SIGINT into an exception at whatever line is running. During an import that can be a
callback whose exceptions are ignored (importlib has one), and the signal is lost. A background job
of a shell even starts with SIGINT ignored. A program that is still starting has nothing to clean
up, so the kernel ends it at once, also while it waits for a driver.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)
_FIRST_PROCESS = 1


def end_at_once() -> None:
    """Let SIGINT and SIGTERM end this process, until another handler is set."""
    # For process 1 of a container, the kernel ignores signals that have no handler.
    action = _end if os.getpid() == _FIRST_PROCESS else signal.SIG_DFL
    for number in ENDING:
        signal.signal(number, action)


def interrupt_as_usual() -> None:
    """Make SIGINT raise KeyboardInterrupt again, for commands that clean up in `finally`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)
