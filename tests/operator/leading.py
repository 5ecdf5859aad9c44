"""The operator with a Lease of LEASE_SECONDS, so that tests are faster than with 15."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

from ocrpool_operator import logs
from ocrpool_operator.cli import _parser, options_from
from ocrpool_operator.run import run

if __name__ == "__main__":
    logs.set_up("info")
    options = options_from(_parser().parse_args())
    assert options.lease is not None
    lease = replace(options.lease, duration=float(os.environ["LEASE_SECONDS"]))
    asyncio.run(run(replace(options, lease=lease)))
