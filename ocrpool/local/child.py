"""A worker as a child of `ocrpool up`: `python -m ocrpool.local.child PARENT serve …`.

The child asks the kernel for SIGTERM when its parent exits. The parent could do this between fork
and exec, but its signal handlers would then be active in the child: a Ctrl-C at that moment would
run them twice.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from ocrpool_worker.signals import end_at_once

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run `ocrpool-worker` with the arguments after PARENT, the pid of the parent."""
    end_at_once()
    parent, *arguments = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != int(parent):  # the parent exited before the request
        return 128 + signal.SIGTERM
    from ocrpool_worker.cli import main as run  # noqa: PLC0415

    return run(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
