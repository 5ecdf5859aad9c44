"""The operator, killed at its first write: before it with KILL=before, after it with KILL=after.

The exit is as hard as SIGKILL: nothing is flushed, released or said.
"""

from __future__ import annotations

import asyncio
import os
import sys

from ocrpool_operator.kubernetes import logs
from ocrpool_operator.kubernetes.cli import _parser, options_from
from ocrpool_operator.kubernetes.client import Call
from ocrpool_operator.kubernetes.run import run

KILLED = 9


async def kill(moment: str, call: Call) -> None:
    if call.writes and moment == os.environ["KILL"]:
        print(f"KILLED {moment} {call}", file=sys.stderr, flush=True)
        os._exit(KILLED)


if __name__ == "__main__":
    logs.set_up("info")
    asyncio.run(run(options_from(_parser().parse_args()), hook=kill))
