"""A worker's log is bounded, and whoever reads it, or does not, the worker goes on."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocrpool.local import worker_log as module
from ocrpool.local.worker_log import WorkerLog

MOST = 10_000
# Writes 2 MB of log lines, as a worker does, and ends in order.
TALKS = """
import logging
from ocrpool_worker import logs
logs.set_up("info")
for number in range(10_000):
    logging.info("line %d %s", number, "x" * 100)
"""


def made(path: Path, lines: list[str], troubles: list[OSError]) -> WorkerLog:
    return WorkerLog(path, on_line=lines.append, on_trouble=troubles.append)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", MOST)


@pytest.mark.usefixtures("_small")
@pytest.mark.asyncio
async def test_files_are_bounded_and_hold_the_latest(tmp_path: Path) -> None:
    lines, troubles = list[str](), list[OSError]()
    log = made(tmp_path / "w.log", lines, troubles)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", TALKS.replace("10_000", "500")), stderr=(output := log.open())
    )
    os.close(output)
    assert await process.wait() == 0
    await log.rest()
    log.close()
    assert len(lines) == 500
    files = sorted(tmp_path.iterdir())  # noqa: ASYNC240
    assert [each.name for each in files] == ["w.log", "w.log.1", "w.log.2"]
    assert all(each.stat().st_size <= MOST for each in files)
    kept = [line for each in reversed(files) for line in each.read_text().splitlines()]
    assert kept == lines[-len(kept) :]
    assert not troubles


@pytest.mark.asyncio
async def test_a_worker_whose_log_nobody_reads_ends_in_order(tmp_path: Path) -> None:
    """As under a shell that is stopped: what does not fit into the pipe is lost."""
    log = made(tmp_path / "w.log", [], [])
    output = log.open()
    done = subprocess.run(  # noqa: ASYNC221 (nothing of the loop may run meanwhile)
        [sys.executable, "-c", TALKS], stderr=output, timeout=60, check=False
    )
    os.close(output)
    await log.rest()
    log.close()
    assert done.returncode == 0
    assert "line 0 " in log.last[0] or len(log.last) == log.last.maxlen


@pytest.mark.asyncio
async def test_a_long_line_is_cut_and_a_last_one_needs_no_end(tmp_path: Path) -> None:
    lines = list[str]()
    log = made(tmp_path / "w.log", lines, [])
    output = log.open()
    text = b"x" * 200_000 + b"\nlast"

    def write() -> None:
        os.set_blocking(output, True)
        left = text
        while left:
            left = left[os.write(output, left) :]
        os.close(output)

    await asyncio.to_thread(write)
    await log.rest()
    log.close()
    assert "".join(lines) == "x" * 200_000 + "last"
    assert lines[-1].endswith("last")
    assert max(map(len, lines)) <= 2 * 64 * 1024


@pytest.mark.asyncio
async def test_what_cannot_be_kept_is_told_and_still_read(tmp_path: Path) -> None:
    lines, troubles = list[str](), list[OSError]()
    (tmp_path / "w.log").symlink_to("/dev/full")
    log = made(tmp_path / "w.log", lines, troubles)
    output = log.open()
    os.write(output, b"one\ntwo\nthree\n")
    os.close(output)
    await log.rest()
    log.close()
    assert lines == ["one", "two", "three"] == list(log.last)
    assert {error.errno for error in troubles} == {errno.ENOSPC}
    assert len(troubles) == len(lines)
