"""Fake GPUs for real workers and a real `ocrpool up`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.devcluster.fakegpu import device
from tools.devcluster.fakegpu.device import FakeGpu
from tools.devcluster.fakegpu.library import environment


@pytest.fixture
def gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[FakeGpu]:
    """Two free GPUs for every process that the test starts. Each has memory for five instances of
    3 GiB, a reserve of 1 GiB and the planner's margin."""
    found = device.make_all(tmp_path / "gpus", 2)
    for each in found:
        each.set_total(16896 << 20)
    for name, value in environment(tmp_path / "gpus").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return found


@pytest.fixture
def gpu(gpus: list[FakeGpu], monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    """The first of the two GPUs; only this one is visible."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus[0].uuid)
    return gpus[0]
