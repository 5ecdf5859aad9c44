"""The manifest of a staged folder: its files, their digests, and the roles of its models.

A staged folder holds one folder per model, licence texts, and `manifest.json`, which is written
last. The folder of a model has PaddleX's name of the model, as `<role>_model_name` requires. An
instance starts only from a folder that `verify` accepts, because Paddle reports a damaged parameter
file with misleading errors.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError

from ocrpool_worker.errors import ModelError
from ocrpool_worker.settings import describe

MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 2**20
DEFAULT_SOURCE = "wheel"

# The prefixes of PaddleOCR's arguments `<role>_model_name` and `<role>_model_dir`.
Role = Literal[
    "text_detection",
    "text_recognition",
    "textline_orientation",
    "doc_orientation_classify",
    "doc_unwarping",
]
ROLES: tuple[Role, ...] = get_args(Role)
# Optional role → the consequence if it has no model.
OPTIONAL_ROLES: Mapping[Role, str] = {
    "doc_orientation_classify": "a page that is turned by 90, 180 or 270 degrees is read as it is",
    "textline_orientation": "a single line that is upside down is read as it is",
    "doc_unwarping": "a bent page is read as it is",
}


@dataclass(frozen=True)
class FileEntry:
    """The expected digest and size (in bytes) of one file."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Manifest:
    """`source`: the value of `--source` that the files came from. `files`: path relative to the
    folder, with slashes → digest and size. `models`: role → name of the model's folder."""

    schema: Literal[1]
    source: str
    files: Mapping[str, FileEntry]
    models: Mapping[Role, str]

    def model_bytes(self, role: Role) -> int:
        """The size of one model's files in bytes."""
        prefix = self.models[role] + "/"
        return sum(entry.size for path, entry in self.files.items() if path.startswith(prefix))


_ADAPTER = TypeAdapter(Manifest)


def safe_relative(path: str) -> bool:
    """Whether `path` is a plain relative path that stays inside the folder that it is joined to."""
    if not path or "\\" in path or "\0" in path:
        return False
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and str(pure) == path != "."


def entry_of(path: Path) -> FileEntry:
    """Read a regular file and return its digest and size. Raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileEntry(digest, os.fstat(file.fileno()).st_size)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write and sync `manifest.json`, readable by every user. Raises OSError."""
    text = json.dumps(asdict(manifest), indent=2, sort_keys=True, ensure_ascii=False)
    path = folder / MANIFEST
    with path.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of `folder`, without checking the files. Raises ModelError."""
    path = folder / MANIFEST
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise _missing(folder, f"{folder}: expected a folder of staged models, found {found}")
    try:
        raw = _read_small(path)
    except FileNotFoundError:
        raise _missing(folder, f"{folder}: no {MANIFEST} there, so nothing was staged") from None
    except OSError as error:
        raise _corrupt(folder, f"{path}: cannot be read ({_cause(error)})") from None
    try:
        manifest = _ADAPTER.validate_json(raw, strict=True)
    except ValidationError as error:
        raise _corrupt(folder, f"{path}: not a manifest: {_short(describe(error))}") from None
    _check_paths(folder, manifest)
    return manifest


def verify(folder: Path) -> dict[str, Path]:
    """Compare the digest of every file, and return role → folder of each model.

    The folders are real paths, so the verified files are the ones that will be loaded, even if
    `folder` is a link that changes in the meantime. Raises ModelError with reason ModelMissing (no
    folder, no manifest, a file is missing) or ModelCorrupt (anything else).
    """
    manifest = read_manifest(folder)
    root = folder.resolve()
    for path, expected in manifest.files.items():
        _check_file(folder, root, path, expected, manifest.source)
    for name in manifest.models.values():
        _check_unlisted_files(folder, root / name, manifest)
    return {role: root / name for role, name in manifest.models.items()}


def _check_paths(folder: Path, manifest: Manifest) -> None:
    """Check that the manifest names only files inside its folder. Raises ModelError."""
    where = folder / MANIFEST
    if not manifest.models:
        raise _corrupt(folder, f"{where}: names no model", manifest.source)
    for path in [*manifest.files, *manifest.models.values()]:
        if not safe_relative(path):
            raise _corrupt(folder, f"{where}: path {path!r} is not inside the folder")
    for role, name in manifest.models.items():
        if "/" in name or f"{name}/inference.yml" not in manifest.files:
            message = f"{where}: lists no {name}/inference.yml for {role}"
            raise _corrupt(folder, message, manifest.source)


def _check_file(folder: Path, root: Path, path: str, expected: FileEntry, source: str) -> None:
    shown = folder / path
    try:
        real = (root / path).resolve(strict=True)
        if not real.is_relative_to(root):
            raise _corrupt(folder, f"{shown}: leads out of the folder, to {real}", source)
        status = real.stat()
        # Checked before opening: a pipe in place of a file would block forever.
        if not stat.S_ISREG(status.st_mode):
            raise _corrupt(folder, f"{shown}: expected a file, found something else", source)
        if status.st_size != expected.size:
            sizes = f"expected {expected.size} bytes, found {status.st_size}"
            raise _corrupt(folder, f"{shown}: {sizes}", source)
        found = entry_of(real)
    except FileNotFoundError:
        raise _missing(folder, f"{shown}: listed in {MANIFEST}, found nothing", source) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise _corrupt(folder, f"{shown}: cannot be read ({_cause(error)})", source) from None
    if found != expected:
        digests = f"expected sha256 {expected.sha256}, found {found.sha256}"
        raise _corrupt(folder, f"{shown}: {digests}", source)


def _check_unlisted_files(folder: Path, model: Path, manifest: Manifest) -> None:
    """Refuse unlisted files, because PaddleX chooses what to load by the files that it finds."""
    for found in sorted(model.rglob("*")):
        path = found.relative_to(model.parent).as_posix()
        # Dot files come from file systems and desktops (.nfs…, .DS_Store). PaddleX ignores them.
        if not found.is_dir() and not found.name.startswith(".") and path not in manifest.files:
            message = f"{folder / path}: not listed in {MANIFEST}, expected no such file"
            raise _corrupt(folder, message, manifest.source)


def _read_small(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(MAX_MANIFEST_BYTES + 1)
    if len(raw) > MAX_MANIFEST_BYTES:
        raise OSError(f"larger than {MAX_MANIFEST_BYTES} bytes")
    return raw


def _cause(error: BaseException) -> str:
    cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    hint = f" as user {os.geteuid()}" if isinstance(error, PermissionError) else ""
    return f"{cause}{hint}"


def _short(text: str) -> str:
    return text if len(text) <= 300 else text[:300] + "…"


def _repair_hint(folder: Path, source: str) -> str:
    command = f"ocrpool-worker models stage --source {shlex.quote(source)}"
    return f"; to repair it: {command} --dir {shlex.quote(str(folder))}"


def _missing(folder: Path, message: str, source: str = DEFAULT_SOURCE) -> ModelError:
    return ModelError("ModelMissing", _one_line(message + _repair_hint(folder, source)))


def _corrupt(folder: Path, message: str, source: str = DEFAULT_SOURCE) -> ModelError:
    return ModelError("ModelCorrupt", _one_line(message + _repair_hint(folder, source)))


def _one_line(text: str) -> str:
    """Replace line breaks and control codes, which file names and manifests can contain."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
