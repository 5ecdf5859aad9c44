"""`tools.bench.labs.gpu.headroom`: its rehearsal on a CPU runs, and without a GPU it fails with
one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.worker.harness import ROOT


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.bench.labs.gpu.headroom", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_without_a_gpu_it_is_one_line() -> None:
    done = bench()
    if done.returncode == 0:
        pytest.skip("this machine has a GPU")
    assert done.returncode == 2
    assert done.stderr.startswith("bench-gpu: ")
    assert done.stderr.count("\n") == 1


def test_the_rehearsal_answers_every_page(tmp_path: Path) -> None:
    arguments = ("--room", "1Gi", "--reserve", "64Mi", "--max", "2", "--seconds", "3")
    done = bench("--device", "cpu", *arguments, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("gpu-headroom-*.json")
    written = json.loads(file.read_text(encoding="utf-8"))
    assert set(written["answers"]) == {"200"}
    assert {one["phase"] for one in written["seen"]} == {
        "alone",
        "another process takes memory",
        "another process frees it",
    }
