"""Stage model files into a folder, completely or not at all.

The files are written into a sibling folder, synced, and described by a manifest. Only then the
folder is renamed to its final name. After a kill, a full disk or a concurrent staging there is the
old folder, the new one, or none, but never a part of one. The next staging removes the leftovers of
a killed one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ocrpool_worker.errors import ModelError, StageError
from ocrpool_worker.models import manifest
from ocrpool_worker.models.manifest import MANIFEST, Manifest
from ocrpool_worker.models.roles import MODEL_FILES, identify_all
from ocrpool_worker.models.sources import Source, is_licence

DEFAULT_SECONDS = 900.0


@dataclass(frozen=True)
class Staged:
    """A staged folder. `fresh` is False if it already held the same models."""

    folder: Path
    manifest: Manifest
    fresh: bool


def _silent(message: str) -> None:
    """Ignore a progress message."""


def stage(
    source: Source,
    folder: Path,
    *,
    force: bool = False,
    seconds: float = DEFAULT_SECONDS,
    report: Callable[[str], None] = _silent,
) -> Staged:
    """Stage the models of `source` into `folder`, verified.

    It does nothing if `folder` verifies and came from the same source. It replaces a folder that
    does not verify, and with `force` any staged folder. `seconds` limits the time for downloads.
    `report` gets a line before a long step. Raises StageError with one line that says what to
    change.
    """
    # Links are resolved: the folder itself is replaced, not a link to it.
    target = folder.resolve()
    try:
        # First without a lock, so that valid models on a read-only volume are accepted.
        if not force and (there := _already(target, source)):
            return there
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target, report):
            if not force and (there := _already(target, source)):
                return there
            _check_replaceable(target)
            return _replace(target, source, seconds, report)
    except OSError as error:
        name = f" ({error.filename})" if error.filename else ""
        raise StageError(f"{folder}: not staged: {error.strerror or error}{name}") from None


def _already(target: Path, source: Source) -> Staged | None:
    try:
        manifest.verify(target)
        found = manifest.read_manifest(target)
    except ModelError:
        return None
    if found.source != source.text:
        raise StageError(
            f"{target}: holds models from {found.source}; give --force to replace them by those "
            f"from {source.text}, or another --dir"
        )
    return Staged(target, found, fresh=False)


def _check_replaceable(target: Path) -> None:
    """Refuse to remove files that staging does not write. Raises StageError."""
    if not target.exists():
        return
    if not target.is_dir():
        raise StageError(f"{target}: is a file; expected a folder, or nothing")
    if os.path.ismount(target):
        raise StageError(
            f"{target}: is a mount point, which cannot be replaced as a whole; give a folder "
            f"inside it, for example {target / 'models'}"
        )
    for path in sorted(target.rglob("*")):
        ours = path.name in (MANIFEST, *MODEL_FILES) or is_licence(path.name)
        if not path.is_dir() and not ours and not path.name.startswith(".nfs"):
            raise StageError(
                f"{target}: holds {path.relative_to(target)}, which is not a model file; the "
                "folder is not replaced: give another --dir, or empty it yourself"
            )


@contextlib.contextmanager
def _locked(target: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Allow one staging of `target` at a time.

    The kernel releases the lock when its holder exits. The lock file stays: if it were removed, two
    stagings could lock two files of the same name.
    """
    with (target.parent / f".{target.name}.lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"{target}: waits for another staging of it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(target: Path, source: Source, seconds: float, report: Callable[[str], None]) -> Staged:
    prefix = f".{target.name}.staging-"
    for left in target.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)  # of a killed staging, because we hold the lock
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        tree, scratch = work / "tree", work / "scratch"
        tree.mkdir()
        scratch.mkdir()
        report(f"{target}: stages {source.text}")
        expected = source.fetch(tree, scratch, seconds)
        sealed = _seal(tree, source, expected)
        _swap(tree, target, aside=work / "old")
        return Staged(target, sealed, fresh=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _seal(tree: Path, source: Source, expected: Mapping[str, str]) -> Manifest:
    """Make `tree` readable for all users, sync it, and write its manifest. Raises StageError."""
    models = {model.role: folder.name for folder, model in identify_all(tree).items()}
    files = {}
    for path in sorted(tree.rglob("*")):
        if path.is_dir():
            continue
        path.chmod(0o644)  # worker pods run as another user than the staging does
        _sync(path)
        files[path.relative_to(tree).as_posix()] = manifest.entry_of(path)
    for name, digest in expected.items():
        found = files[name].sha256 if name in files else "nothing"
        if found != digest:
            raise StageError(f"{source.text}: {name}: expected sha256 {digest}, found {found}")
    sealed = Manifest(schema=1, source=source.text, files=files, models=models)
    manifest.write_manifest(tree, sealed)
    for directory in [*(path for path in tree.rglob("*") if path.is_dir()), tree]:
        directory.chmod(0o755)
        _sync(directory)
    return sealed


def _swap(tree: Path, target: Path, *, aside: Path) -> None:
    """Rename `tree` to `target`. Between the two renames nothing is at `target`."""
    replaced = target.exists()
    if replaced:
        target.rename(aside)
    try:
        tree.rename(target)
    except OSError:
        if replaced:
            aside.rename(target)
        raise
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
