"""Decision records: numbered without gaps, listed, and on one page."""

from __future__ import annotations

from tests.unit.repository.named import ROOT, paths_in

FOLDER = ROOT / "docs" / "decisions"
RECORDS = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")


def test_records_are_numbered_and_listed() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    for number, path in enumerate(RECORDS, 1):
        assert path.name.startswith(f"{number:04}-")
        assert f"[{number:04}]({path.name})" in index
        assert path.read_text(encoding="utf-8").startswith(f"# {number}. ")


def test_a_record_has_its_parts_and_one_page() -> None:
    for path in RECORDS:
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 60, path
        for part in ("## Context", "## Decision", "## Consequences"):
            assert f"\n{part}\n" in text, path


def test_records_name_files_that_exist() -> None:
    for path in RECORDS:
        for named in paths_in(path.read_text(encoding="utf-8")):
            assert (ROOT / named).exists(), (path.name, named)
