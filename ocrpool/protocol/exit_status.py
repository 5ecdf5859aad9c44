"""How a process ended, as text: written once, for logs, conditions and the command line."""

from __future__ import annotations

import signal


def describe_exit(status: int) -> str:
    """`exited with status 3`, or `killed by SIGSEGV`. `status` is as in `subprocess`: a negative
    number is the signal that ended the process."""
    return f"killed by {signal_name(-status)}" if status < 0 else f"exited with status {status}"


def signal_name(number: int) -> str:
    """`SIGTERM` for 15. Real-time signals and unknown numbers have no name: `signal 40`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
