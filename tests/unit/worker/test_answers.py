"""What an instance writes of a page can be read again, whatever is in it."""

from __future__ import annotations

import json

from ocrpool_worker.engine.base import PageWarning, Reading
from ocrpool_worker.instance.answers import page_lines


def test_half_a_character_in_a_warning_costs_no_page() -> None:
    warnings = [PageWarning("MissingGlyphs", "no glyph: \ud83d, \U0001f600")]
    page = json.loads(page_lines(Reading(()), 20, 10, warnings))
    assert page["warnings"] == [{"reason": "MissingGlyphs", "message": "no glyph: ?, \U0001f600"}]
