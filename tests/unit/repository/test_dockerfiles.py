"""What the Dockerfiles say is what the rest of the repository says."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILES = (ROOT / "operator" / "Dockerfile", ROOT / "worker_image" / "Dockerfile")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _argument(dockerfile: Path, name: str) -> str:
    """The default of a build argument."""
    for line in dockerfile.read_text(encoding="utf-8").splitlines():
        if line.startswith(f"ARG {name}="):
            return line.partition("=")[2]
    raise AssertionError(f"{dockerfile} has no ARG {name}")


def _requirements(*extras: str) -> list[str]:
    command = [sys.executable, "tools/requirements.py", *extras]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda each: each.parent.name)
def test_the_version_is_the_projects(dockerfile: Path) -> None:
    assert _argument(dockerfile, "VERSION") == PYPROJECT["project"]["version"]


def test_both_variants_have_the_same_paddle() -> None:
    (cpu,) = (each for each in _requirements("cpu") if each.startswith("paddlepaddle"))
    version = _argument(ROOT / "worker_image" / "Dockerfile", "PADDLE_GPU")

    assert cpu == f"paddlepaddle=={version}"
    assert any(each.startswith("paddlepaddle-gpu>=") for each in _requirements("gpu"))


def test_an_extra_that_names_another_brings_its_requirements() -> None:
    worker = set(_requirements("worker"))

    assert worker < set(_requirements("cpu"))
    assert not any("ocrpool" in each for each in _requirements("cpu"))


def test_the_operator_gets_neither_paddle_nor_numpy() -> None:
    names = " ".join(_requirements("operator"))

    assert "kopf" in names
    assert not any(each in names for each in ("paddle", "numpy", "opencv", "nvidia"))


def _pins(file: str) -> dict[str, str]:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pins = (line.split("==") for line in lines if not line.startswith("#"))
    return {name.lower(): version for name, version in pins}


def test_both_lists_of_pins_agree_except_about_pyyaml() -> None:
    """The second list is installed over the first one for the tests."""
    first, second = _pins("constraints.txt"), _pins("constraints-operator.txt")
    different = {name for name in first.keys() & second.keys() if first[name] != second[name]}

    assert different == {"pyyaml"}


def test_every_requirement_of_the_operator_is_pinned() -> None:
    pins = _pins("constraints-operator.txt")
    names = {re.split(r"[<>=]", each)[0].lower() for each in _requirements("operator")}

    assert {name.replace("-", "_") for name in names} <= {name.replace("-", "_") for name in pins}
