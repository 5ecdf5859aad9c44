"""News fragments, the sections of CHANGELOG.md, and one version in every file."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from ocrpool.version import VERSION
from tests.unit.repository.named import ROOT
from tools import release

CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["towncrier"]


def test_every_file_has_the_same_version() -> None:
    found = [line for line in release.problems(ROOT, VERSION) if "CHANGELOG" not in line]
    assert not found


def test_a_file_with_another_version_is_named(tmp_path: Path) -> None:
    for name in (*(name for name, _ in release.PLACES), "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        text = (ROOT / name).read_text(encoding="utf-8")
        before = dict(release.PLACES).get(name)
        if before and name != "operator/Dockerfile":
            text = release.with_version(text, before, "9.8.7-rc.1")
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert release.problems(tmp_path, "9.8.7-rc.1") == [
        f"operator/Dockerfile: {VERSION}, not 9.8.7-rc.1",
        "CHANGELOG.md: no section 9.8.7-rc.1; run: make changelog VERSION=9.8.7-rc.1",
    ]


def test_notes_are_the_section_of_the_version() -> None:
    text = "# Changes\n\n## 1.2.3 (2026-01-02)\n\n- a\n- b\n\n## 1.2.2 (2026-01-01)\n\n- c\n"
    assert release.notes(text, "1.2.3") == "- a\n- b"
    assert release.notes(text, "1.2.2") == "- c"
    assert release.notes(text, "1.2") == ""


def test_fragments_have_a_known_kind() -> None:
    for path in (ROOT / "changes").iterdir():
        if path.name not in ("README.md", "template.md"):
            name = re.fullmatch(r"[a-z0-9-]+\.(\w+)\.md", path.name)
            assert name, path
            assert name[1] in CONFIG["fragment"], path


def test_the_readme_lists_the_kinds() -> None:
    text = (ROOT / "changes" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)`", text, re.MULTILINE) == list(CONFIG["fragment"])


def test_fragments_become_a_section_above_the_others(tmp_path: Path) -> None:
    (tmp_path / "changes").mkdir()
    for name in ("CHANGELOG.md", "pyproject.toml", "changes/template.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "changes" / "gif-end.fixed.md").write_text("A GIF without its last\nbyte.\n")
    (tmp_path / "changes" / "7.changed.md").write_text("The default is 3.\n")
    before = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    arguments = ["build", "--yes", "--version", "9.8.7", "--date", "2026-01-02"]
    command = [sys.executable, "-m", "towncrier", *arguments]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    after = (tmp_path / "CHANGELOG.md").read_text(encoding="utf-8")
    added = "- Changed: The default is 3.\n- Fixed: A GIF without its last\n  byte.\n\n"
    head, marker, rest = before.partition(CONFIG["start_string"])
    assert marker
    assert after == f"{head}{marker}\n## 9.8.7 (2026-01-02)\n\n{added}{rest.lstrip()}"
