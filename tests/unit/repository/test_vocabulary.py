"""`make check` finds spelling mistakes and refused words, in names as well as in prose."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from tests.unit.repository.named import ROOT

CONFIG = ROOT / ".typos.toml"
TYPOS = Path(sys.executable).parent / "typos"


def found_in(path: Path) -> str:
    done = subprocess.run(
        [TYPOS, "--config", CONFIG, "--format", "brief", path],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_refused_words_are_found_in_names_and_in_prose(tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text("runfile_path = 1  # The Runfile\nclass LocalRunfile: ...\n")  # typos: ignore
    lines = found_in(path).splitlines()
    assert len(lines) == 3
    assert all("`runtime state`" in line.lower() for line in lines)


def test_a_spelling_mistake_is_found(tmp_path: Path) -> None:
    path = tmp_path / "example.md"
    path.write_text("The pool recieves pages.\n")  # typos: ignore
    assert "receives" in found_in(path)


def test_every_refused_word_has_something_to_write_instead() -> None:
    words = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["default"]["extend-words"]
    refused = {word: instead for word, instead in words.items() if instead != word}
    assert refused
    assert all(refused.values())
