"""What the documents point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.repository.named import ROOT, make_targets, paths_in, targets_in

FOLDERS = (".github", "changes", "charts", "docs", "examples", "findings", "tools")
PAGES = sorted([*ROOT.glob("*.md"), *(p for each in FOLDERS for p in (ROOT / each).rglob("*.md"))])
# Pages of the present. Others are records, and stay as they were written.
TODAY = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s#]*)(?:#(?P<anchor>[^)\s]+))?\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    # News fragments become a part of CHANGELOG.md, so their links start at the root.
    is_fragment = page.parent.name == "changes" and page.name != "README.md"
    folder = ROOT if is_fragment else page.parent
    for link in LINK.finditer(page.read_text(encoding="utf-8")):
        if "://" in link["target"]:
            continue
        target = (folder / link["target"]).resolve() if link["target"] else page
        assert target.exists(), link[0]
        if link["anchor"]:
            assert link["anchor"] in anchors(target), link[0]


@pytest.mark.parametrize("page", TODAY, ids=lambda page: page.name)
def test_paths_and_targets_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not [path for path in paths_in(text) if not (ROOT / path).exists()]
    assert targets_in(text) <= make_targets()


def test_the_index_has_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert len(pages) > 20
    assert not [page for page in pages if f"({page})" not in index]


def test_the_readme_has_one_picture_that_a_target_draws() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"!\[[^\]]+\]\((\S+)\)", text) == ["docs/pictures/pool.svg"]
    assert "`make pictures`" in text
    assert "pictures" in make_targets()


def test_every_capability_names_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "capabilities.md").read_text(encoding="utf-8")
    shown, _, _ = text.partition("## Not shown")
    rows = [row for row in shown.splitlines() if row.startswith("| ") and "shown by" not in row]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`(tests/\S+\.py|python -m \S+)`", row)
        assert named, row
        for test in named:
            if test.startswith("tests/"):
                assert (ROOT / test).is_file(), row


def test_the_test_of_each_promise_is_there() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:[a-z]+/)+[a-z0-9_]+\.py)`", text.partition("## What is promised")[2])
    assert len(named) > 20
    paths = [ROOT / "tests" / name.removeprefix("tests/") for name in named]
    assert not [path for path in paths if not path.is_file()]
