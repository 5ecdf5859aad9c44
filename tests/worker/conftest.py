"""Fixtures for tests with the real PaddleOCR: one worker for the session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.client import Worker, pids_of
from tests.worker.harness import start_worker


@pytest.fixture(scope="session")
def paddle_worker(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker with two instances of the real PaddleOCR, one thread each."""
    settings = {
        "engine": {"name": "paddleocr", "options": {"cpu_threads": 1}},
        "instances": {"bootSeconds": 300},
        "admission": {"maxMegapixels": 4, "queue": 512, "timeoutSeconds": 120},
    }
    folder = tmp_path_factory.mktemp("paddle")
    arguments = ("--models", str(models))
    with start_worker(folder, *arguments, instances=2, settings=settings, ready=False) as worker:
        worker.until(
            "two instances of PaddleOCR are warm",
            lambda state: len(pids_of(state, "idle")) == 2,
            seconds=240,
        )
        yield worker
