"""What an instance writes of a page can be read again, whatever is in it."""

from __future__ import annotations

import json

from ocrpool_worker.engine.base import PageWarning, Reading
from ocrpool_worker.instance.answers import page_lines


def test_a_lone_surrogate_in_a_warning_does_not_fail_the_page() -> None:
    warnings = [PageWarning("MissingGlyphs", "no glyph: \ud83d, \U0001f600")]
    page = json.loads(page_lines(Reading(()), 20, 10, warnings))
    assert page["warnings"] == [{"reason": "MissingGlyphs", "message": "no glyph: ?, \U0001f600"}]
