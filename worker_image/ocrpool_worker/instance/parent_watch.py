"""An instance never outlives its supervisor.

The kernel ends it (PR_SET_PDEATHSIG) even while native code computes; a thread that waits on the
supervisor's end of a pipe is the second rope, for kernels or sandboxes without that call.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading

_PR_SET_PDEATHSIG = 1


def die_with(supervisor_pid: int, pipe: int) -> None:
    """Tie this process to the supervisor. Exits at once if that is gone already."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # It may have died before the call above; then we have been given to another parent.
    if os.getppid() != supervisor_pid:
        os._exit(0)
    threading.Thread(target=_wait_for_end, args=(pipe,), name="parent_pipe", daemon=True).start()


def _wait_for_end(pipe: int) -> None:
    while True:
        try:
            if not os.read(pipe, 1):
                os._exit(0)
        except InterruptedError:
            continue
        except OSError:
            os._exit(0)
