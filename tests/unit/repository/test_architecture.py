"""docs/architecture.md names every module of the product and no other, and what it tells exists."""

from __future__ import annotations

import re

from tests.unit.repository.named import ROOT, paths_in
from tools.generate import architecture

TEXT = architecture.TARGET.read_text(encoding="utf-8")
WRITTEN, _, GENERATED = TEXT.partition(architecture.MARK)


def test_every_module_is_named_and_no_other() -> None:
    named = {(ROOT / "docs" / link).resolve() for link in re.findall(r"\]\((\S+\.py)\)", GENERATED)}
    product = {
        path
        for folder in architecture.FOLDERS.values()
        for path in folder.rglob("*.py")
        if path.name != "__init__.py"
    }
    assert len(product) > 100
    assert named == product, "run `make docs`"


def test_every_import_contract_is_drawn() -> None:
    names = [contract["name"] for contract in architecture.contracts()]
    assert len(names) > 8
    assert not [name for name in names if name not in GENERATED]
    for contract in architecture.contracts():
        for layer in contract.get("layers", ()):
            assert f'["{layer.replace(" | ", " · ")}"]' in GENERATED


def test_a_layer_points_to_the_one_below_it() -> None:
    drawn = architecture.drawing({"name": "N", "containers": ["p"], "layers": ["a", "b | c"]})
    assert 'l0["a"]\n  l1["b · c"]\n  l0 --> l1\n' in drawn


def test_a_module_is_summed_up_by_its_first_sentence() -> None:
    assert architecture.first_sentence("One\nthing. Another one.\n\nMore.") == "One thing"


def test_the_flows_name_files_that_exist() -> None:
    named = paths_in(WRITTEN)
    assert len(named) > 40
    assert not [path for path in named if not (ROOT / path).exists()]


def test_short_paths_in_the_flows_exist() -> None:
    """`http/responses.py` is a file of the worker or of the operator."""
    short = re.findall(r"`([a-z_]+/[a-z_]+\.py)`", WRITTEN)
    assert len(short) > 5
    roots = (ROOT, *architecture.FOLDERS.values())
    assert not [path for path in short if not any((root / path).exists() for root in roots)]
