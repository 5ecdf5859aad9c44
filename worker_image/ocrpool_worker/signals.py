"""Signals to end, while a command starts.

Python's own answer to SIGINT is an exception wherever the program happens to be. While modules are
imported that can be a callback whose exceptions are ignored (importlib has one), and the signal is
lost. A shell's background job even starts with SIGINT ignored. So until a program can end in order,
nothing of it needs to: a signal ends it at once, by the kernel, also while it waits for a driver.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)
_FIRST_PROCESS = 1


def end_at_once() -> None:
    """From now on, and until another handler is set, SIGINT and SIGTERM end this process."""
    # The first process of a container has no defaults: the kernel drops what it does not handle.
    action = _end if os.getpid() == _FIRST_PROCESS else signal.SIG_DFL
    for number in ENDING:
        signal.signal(number, action)


def interrupt_as_usual() -> None:
    """SIGINT is a KeyboardInterrupt again: for what has something to put in order by `finally`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)
