"""The repository at another commit."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from tools.bench.lib.servers import ROOT


def checkout_of(commit: str) -> Path:
    """Extract the repository at a commit into a folder under build/. Raises RuntimeError where
    there is no such commit."""
    found = subprocess.run(
        ["git", "rev-parse", "--verify", f"{commit}^{{commit}}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode != 0:
        raise RuntimeError(f"--before {commit}: {found.stderr.strip()}")
    folder = ROOT / "build" / f"before-{found.stdout.strip()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(
        ["git", "archive", found.stdout.strip()], cwd=ROOT, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder
