"""Every path and target that CONTRIBUTING.md names exists."""

from __future__ import annotations

import re

import pytest

from tests.unit.repository.named import ROOT, make_targets, paths_in, targets_in

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TABLES = TEXT.partition("## Where do I change X?")[2].partition("## House rules")[0]
ROWS = [
    line for line in TABLES.splitlines() if re.match(r"\| [^-|]", line) and "to change" not in line
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip())
def test_a_row_names_a_place_and_only_what_exists(row: str) -> None:
    _, _, place, *rest = row.split("|")
    assert paths_in(place), row
    missing = [path for cell in (place, *rest) for path in paths_in(cell) if not exists(path)]
    assert not missing


def exists(path: str) -> bool:
    return (ROOT / path).exists()


def test_the_table_answers_the_first_questions() -> None:
    first = "refused|number of instances|pod of a worker|a metric of the worker|an OCR engine"
    for question in first.split("|"):
        assert any(question in row.split("|")[1] for row in ROWS), question
    assert len(ROWS) > 40


def test_the_rest_of_the_page_names_only_what_exists() -> None:
    named = paths_in(TEXT)
    assert len(named) > 100
    assert not [path for path in named if not exists(path)]


def test_the_targets_exist() -> None:
    named = targets_in(TEXT)
    assert {"check", "test", "docs"} <= named
    assert named <= make_targets()
