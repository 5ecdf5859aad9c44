"""A worker's log is bounded, and the worker does not depend on its being read."""

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


def worker_log(path: Path, lines: list[str], errors: list[OSError]) -> WorkerLog:
    return WorkerLog(path, on_line=lines.append, on_error=errors.append)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", MOST)


@pytest.mark.usefixtures("_small")
@pytest.mark.asyncio
async def test_log_files_are_bounded_and_keep_the_latest_lines(tmp_path: Path) -> None:
    lines, errors = list[str](), list[OSError]()
    log = worker_log(tmp_path / "w.log", lines, errors)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", TALKS.replace("10_000", "500")), stderr=(output := log.open())
    )
    os.close(output)
    assert await process.wait() == 0
    await log.drain()
    log.close()
    assert len(lines) == 500
    files = sorted(tmp_path.iterdir())  # noqa: ASYNC240
    assert [each.name for each in files] == ["w.log", "w.log.1", "w.log.2"]
    assert all(each.stat().st_size <= MOST for each in files)
    kept = [line for each in reversed(files) for line in each.read_text().splitlines()]
    assert kept == lines[-len(kept) :]
    assert not errors


@pytest.mark.asyncio
async def test_a_worker_exits_in_order_while_its_log_is_not_read(tmp_path: Path) -> None:
    """As under a shell that is stopped: what does not fit into the pipe is lost."""
    log = worker_log(tmp_path / "w.log", [], [])
    output = log.open()
    done = subprocess.run(  # noqa: ASYNC221 (nothing of the loop may run meanwhile)
        [sys.executable, "-c", TALKS], stderr=output, timeout=60, check=False
    )
    os.close(output)
    await log.drain()
    log.close()
    assert done.returncode == 0
    assert "line 0 " in log.last[0] or len(log.last) == log.last.maxlen


@pytest.mark.asyncio
async def test_a_long_line_is_split_and_the_last_line_needs_no_newline(tmp_path: Path) -> None:
    lines = list[str]()
    log = worker_log(tmp_path / "w.log", lines, [])
    output = log.open()
    text = b"x" * 200_000 + b"\nlast"

    def write() -> None:
        os.set_blocking(output, True)
        left = text
        while left:
            left = left[os.write(output, left) :]
        os.close(output)

    await asyncio.to_thread(write)
    await log.drain()
    log.close()
    assert "".join(lines) == "x" * 200_000 + "last"
    assert lines[-1].endswith("last")
    assert max(map(len, lines)) <= 2 * 64 * 1024


@pytest.mark.asyncio
async def test_a_line_that_cannot_be_written_is_reported_and_still_read(tmp_path: Path) -> None:
    lines, errors = list[str](), list[OSError]()
    (tmp_path / "w.log").symlink_to("/dev/full")
    log = worker_log(tmp_path / "w.log", lines, errors)
    output = log.open()
    os.write(output, b"one\ntwo\nthree\n")
    os.close(output)
    await log.drain()
    log.close()
    assert lines == ["one", "two", "three"] == list(log.last)
    assert {error.errno for error in errors} == {errno.ENOSPC}
    assert len(errors) == len(lines)
