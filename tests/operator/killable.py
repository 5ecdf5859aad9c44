"""The operator, killed at the first call to the API server at which it was not killed before.

KILL_LOG names a file with a line for every exit: phase (KILL_PHASE), before or after, the call.
The exit is as hard as SIGKILL: nothing is flushed, released or logged.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from ocrpool_operator import logs
from ocrpool_operator.cli import _parser, options_from
from ocrpool_operator.cluster.client import ApiCall
from ocrpool_operator.run import run

KILLED = 9


async def kill(moment: str, call: ApiCall) -> None:
    what = str(call)
    if call.resource.plural == "events":
        what = "create events"  # every one has a name of its own
    key = f"{os.environ['KILL_PHASE']} {moment} {what}\n"
    if key not in _died:
        with open(_LOG, "a", encoding="utf-8") as file:  # noqa: ASYNC230
            file.write(key)
        os._exit(KILLED)


if __name__ == "__main__":
    _LOG = Path(os.environ["KILL_LOG"])
    _died = set(_LOG.read_text(encoding="utf-8").splitlines(keepends=True))
    logs.set_up("info")
    asyncio.run(run(options_from(_parser().parse_args()), hook=kill))
