"""Ends an instance when its supervisor exits.

The kernel kills it (PR_SET_PDEATHSIG), even while native code runs. Kernels and sandboxes without
that call have the second way: a thread reads the supervisor's pipe until its end of file.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading

_PR_SET_PDEATHSIG = 1


def exit_with_parent(supervisor_pid: int, pipe: int) -> None:
    """Tie this process to its supervisor. Exits at once where that has exited already."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The supervisor may have exited before the call above. This process has another parent then.
    if os.getppid() != supervisor_pid:
        os._exit(0)
    threading.Thread(target=_wait_for_end, args=(pipe,), name="parent-watch", daemon=True).start()


def _wait_for_end(pipe: int) -> None:
    while True:
        try:
            if not os.read(pipe, 1):
                os._exit(0)
        except InterruptedError:
            continue
        except OSError:
            os._exit(0)
