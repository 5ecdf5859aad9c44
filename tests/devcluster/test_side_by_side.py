"""Two test runs at the same time on one machine do not affect each other."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tools.devcluster.layout import REPOSITORY
from tools.devcluster.testing import handle


@pytest.mark.usefixtures("control_plane")  # so that it is left out where none can run
@pytest.mark.skipif(handle.existing() is not None, reason="of our own clusters only")
def test_two_control_planes_pass_the_same_tests_at_once() -> None:
    argv = [sys.executable, "-m", "pytest", "-q", "tests/devcluster/test_control_plane.py"]
    runs = [
        subprocess.Popen(
            argv, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for _ in range(2)
    ]

    for run in runs:
        said, _ = run.communicate(timeout=200)
        assert run.returncode == 0, said
        assert "5 passed" in said
