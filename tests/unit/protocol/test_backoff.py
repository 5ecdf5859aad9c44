"""The pause between tries: one formula for worker and operator, bounded however long it goes on."""

from __future__ import annotations

import re

import pytest

from ocrpool.protocol import backoff_seconds
from tests.worker.harness import ROOT


def test_it_doubles_up_to_a_bound() -> None:
    pauses = [backoff_seconds(count, first=0.5, most=30) for count in range(-1, 9)]
    assert pauses == [0, 0, 0.5, 1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("failures", [1_024, 1_025, 1_026, 10**6, 10**400])
def test_it_never_overflows(failures: int) -> None:
    assert backoff_seconds(failures, first=0.5, most=30) == 30


def test_the_formula_stands_once() -> None:
    """Another copy of it would have a bound of its own, or none."""
    folders = ("ocrpool", "worker_image", "operator")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found = [
        path.name
        for path in sources
        if re.search(r"\b2(\.0)? ?\*\* ?\(?(min|self)", path.read_text())
    ]
    assert found == ["backoff.py"]
