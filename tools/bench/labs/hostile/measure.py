"""Runs a worker for one row of the table, and checks the bounds that every run has."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

from tools.bench.labs.hostile.result import AttackResult
from tools.bench.labs.hostile.target import MIB, Target, target

# The bounds of every run.
CALLBACK_SECONDS = 0.1
MEMORY_FACTOR = 1.2


@contextlib.contextmanager
def measured(out: AttackResult, **given: Any) -> Iterator[Target]:
    """A worker (`given`: see `target`). An error in the block or at the end of the worker becomes a
    problem of `out`. Raises AssertionError where the worker does not start."""
    began = time.monotonic()
    started = False
    try:
        with target(**given) as aim:
            started = True
            out.resting, out.budget = aim.resting, aim.budget
            try:
                yield aim
            finally:
                if aim.worker.process.poll() is None:
                    loop = aim.loop()
                    out.peak = aim.peak
                    out.cpu, out.cpu_of, out.stall = loop.cpu, loop.cpu_of, loop.late
    except (AssertionError, OSError, HTTPException) as error:
        if not started:
            raise
        out.problems.append(describe_error(error))
    out.seconds = time.monotonic() - began
    check_bounds(out)


def check_bounds(out: AttackResult) -> None:
    """Add a problem for each bound of every run that is broken."""
    counts = out.counts
    for what in ("lost", "doubled", "wrong", "refused"):
        number = getattr(counts, what)
        out.expect(not number, f"{number} requests of regular clients: {what}")
    out.problems += counts.notes
    most = out.resting + MEMORY_FACTOR * (out.budget - out.resting)
    out.expect(
        out.peak <= most,
        f"the supervisor held {out.peak // MIB} MiB, more than {most // MIB:.0f} MiB "
        f"({out.resting // MIB} at rest + {MEMORY_FACTOR} × its budgets)",
    )
    out.expect(
        out.cpu <= CALLBACK_SECONDS,
        f"a callback of the loop ({out.cpu_of}) took {out.cpu * 1000:.0f} ms of CPU, "
        f"the bound is {CALLBACK_SECONDS * 1000:.0f}",
    )


def describe_error(error: BaseException) -> str:
    """An error in a few lines, with the end of the worker's log."""
    notes = "\n".join(getattr(error, "__notes__", []))
    return f"{type(error).__name__}: {str(error)[:1500]}\n{notes[-800:]}".strip()
