"""The sources of model files: their interface, and the source `folder`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ocrpool_worker.errors import ModelError, StageError
from ocrpool_worker.models import manifest
from ocrpool_worker.models.roles import MODEL_FILES, identify_all

LICENSES = "LICENSES"
_LICENCE_NAMES = ("LICENSE", "LICENCE", "NOTICE")


class Source(Protocol):
    """One origin of model files."""

    @property
    def text(self) -> str:
        """The value of `--source` for the same files, independent of the current folder."""

    def fetch(self, tree: Path, scratch: Path, seconds: float) -> Mapping[str, str]:
        """Put model folders and licence texts into `tree`, an empty folder.

        `scratch` is another empty folder, which is removed afterwards. `seconds` limits the time
        for downloads. Returns the digests that are known in advance (path → sha256); these files
        must then exist. Raises StageError, or OSError while writing.
        """


class FolderSource:
    """Model folders on this machine, one level below `path`, or a staged folder."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()

    @property
    def text(self) -> str:
        return f"folder:{self._path}"

    def fetch(self, tree: Path, scratch: Path, seconds: float) -> Mapping[str, str]:
        if not self._path.is_dir():
            raise StageError(f"{self.text}: no such folder")
        expected: Mapping[str, str] = {}
        if (self._path / manifest.MANIFEST).is_file():
            # The copy is compared with the digests in the original's manifest.
            try:
                manifest.verify(self._path)
            except ModelError as error:
                raise StageError(f"{self.text}: {error}") from None
            files = manifest.read_manifest(self._path).files
            expected = {path: entry.sha256 for path, entry in files.items()}
        copy_models(self._path, tree)
        return expected


def copy_models(parent: Path, tree: Path) -> None:
    """Copy the model folders below `parent`, and licence texts. Raises StageError, OSError."""
    for folder, model in identify_all(parent).items():
        (tree / model.name).mkdir()
        for file in sorted(folder.iterdir()):
            if file.is_file() and (file.name in MODEL_FILES or is_licence(file.name)):
                shutil.copyfile(file, tree / model.name / file.name)
    texts = [*parent.iterdir(), *((parent / LICENSES).iterdir() if _has_licences(parent) else ())]
    for file in sorted(texts):
        if file.is_file() and is_licence(file.name):
            (tree / LICENSES).mkdir(exist_ok=True)
            shutil.copyfile(file, tree / LICENSES / file.name)


def is_licence(name: str) -> bool:
    """Whether a file of this name is a licence text."""
    return name.upper().startswith(_LICENCE_NAMES)


def _has_licences(parent: Path) -> bool:
    return (parent / LICENSES).is_dir()
