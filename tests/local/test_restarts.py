"""When a worker that died is started again: sooner or later, and for ever."""

from __future__ import annotations

import asyncio
import shutil
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ocrpool.local.worker_process import BACKOFF_MOST, WorkerProcess

SETTINGS: dict[str, Any] = {"http": {"host": "127.0.0.1"}, "instances": {"min": 1}}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.asyncio
async def test_a_worker_that_dies_for_days_is_started_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A float ends at 2 to the power of 1,024."""
    clock, starts = Clock(), list[float]()

    async def start(*command: str, stdout: int, **options: Any) -> Any:
        starts.append(clock.now)
        return SimpleNamespace(pid=1, returncode=1)  # it has died already

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    warned = list[str]()
    worker = WorkerProcess(
        "w", "cpu", SETTINGS, tmp_path, clock, warn=lambda kind, _: warned.append(kind)
    )
    await worker.start()
    while len(starts) < 1_100:
        await worker.restart_when_due()
        clock.now += BACKOFF_MOST
    pauses = [after - before for before, after in pairwise(starts)]
    assert max(pauses) <= 2 * BACKOFF_MOST
    assert f"restarts in {BACKOFF_MOST:g} s" in worker.note or worker.note == "starting"
    assert not warned


@pytest.mark.asyncio
async def test_one_that_cannot_be_started_now_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, tries = Clock(), list[float]()

    async def start(*command: str, **options: Any) -> Any:
        tries.append(clock.now)
        if 1 < len(tries) < 4:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return SimpleNamespace(pid=1, returncode=1 if len(tries) == 1 else None)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    worker = WorkerProcess("w", "cpu", SETTINGS, tmp_path, clock, warn=lambda kind, text: None)
    await worker.start()
    said = set[str]()
    while worker.exit_status is not None:
        await worker.restart_when_due()
        said.add(worker.note)
        clock.now += 0.25
    assert len(tries) == 4
    assert any(note.startswith("cannot be started, restarts in 1 s: ") for note in said), said
    assert any(note.startswith("cannot be started, restarts in 2 s: ") for note in said), said


@pytest.mark.asyncio
async def test_a_folder_that_was_removed_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session's folder goes when its user logs out, and the settings with it."""
    clock, folder = Clock(), tmp_path / "session" / "pool"
    folder.mkdir(parents=True)

    async def start(*command: str, **options: Any) -> Any:
        assert (folder / "w.yaml").is_file()
        return SimpleNamespace(pid=1, returncode=1)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    worker = WorkerProcess("w", "cpu", SETTINGS, folder, clock, warn=lambda kind, text: None)
    await worker.start()
    shutil.rmtree(tmp_path / "session")
    while worker.note != "starting" or not folder.exists():
        await worker.restart_when_due()
        assert "cannot be started" not in worker.note
        clock.now += 1
