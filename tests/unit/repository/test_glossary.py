"""The glossary points to code, metrics and reasons that exist."""

from __future__ import annotations

import re

import pytest

from tests.unit.repository.named import ROOT, paths_in

PAGE = ROOT / "docs" / "glossary.md"
ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| **")]


def source(*folders: str) -> str:
    """The text of every Python file of the product."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths)


PRODUCT = source("ocrpool", "operator/ocrpool_operator", "worker_image/ocrpool_worker")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("**")[1])
def test_a_word_has_a_place_in_the_code(row: str) -> None:
    _, _, meaning, seen, code, _ = row.split("|")
    assert meaning.strip()
    assert seen.strip()
    named = paths_in(code)
    assert named, row
    assert not [path for path in named if not (ROOT / path).exists()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("**")[1])
def test_metrics_and_reasons_of_a_word_exist(row: str) -> None:
    seen = row.split("|")[3]
    metrics = [name.removesuffix("_total") for name in re.findall(r"ocrpool_\w+", seen)]
    # Counters of instances are named after the fields of the state.
    fields = source("ocrpool/protocol")
    missing = [
        name
        for name in metrics
        if f'"{name}"' not in PRODUCT and f"{name.removeprefix('ocrpool_')}: int" not in fields
    ]
    assert not missing
    reasons = re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", seen)
    assert not [reason for reason in reasons if not re.search(rf'"{reason}\b', PRODUCT)]


def test_the_words_of_the_project_are_there() -> None:
    words = {word for row in ROWS for word in row.split("**")[1].split(", ")}
    asked = "pool|worker|instance|engine|footprint|held|headroom|reserve|target|ceiling|admission"
    asked += "|proxy|warm-up|recycle|drain|poison page|lame duck|write fence|revision|cool-down"
    assert set(asked.split("|")) <= words
