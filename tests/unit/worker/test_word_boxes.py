"""Words and their positions, built from the pieces that PaddleX cuts a line into."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrpool_worker.engine.base import Line, Reading, Word
from ocrpool_worker.engine.paddleocr_engine import reading_of
from ocrpool_worker.engine.word_boxes import Span, whole_words, words_by_line, words_of
from ocrpool_worker.instance import answers
from tests.unit.worker.test_paddleocr_engine import Result

LEVEL = [(100, 50), (300, 50), (300, 90), (100, 90)]


def pieces_of(text: str, cuts: list[int]) -> list[Span]:
    """A text cut at these letters. All letters are equally wide."""
    ends = [0, *sorted({cut for cut in cuts if 0 < cut < len(text)}), len(text)]
    return [Span(text[one:two], one / len(text), two / len(text)) for one, two in pairwise(ends)]


@given(st.text("abé-. 1,\u00a0", min_size=1, max_size=30), st.lists(st.integers(0, 30)))
def test_words_are_separated_by_spaces_only(text: str, cuts: list[int]) -> None:
    words = whole_words(pieces_of(text, cuts))
    assert [word.text for word in words] == text.split()
    for word in words:
        at = round(word.start * len(text))
        assert text[at : at + len(word.text)] == word.text
        assert word.end == pytest.approx((at + len(word.text)) / len(text))


def test_wide_letters_stay_as_paddlex_cuts_them() -> None:
    pieces = pieces_of("茶12,50円を", [1, 3, 4, 6, 7])
    assert [word.text for word in whole_words(pieces)] == ["茶", "12,50", "円", "を"]


def boxes_of(spans: list[Span], along: tuple[float, float], axis: int) -> list[Any]:
    """As PaddleX gives them: upright rectangles over the whole height (or width) of the line."""
    begin, length = along
    boxes = []
    for span in spans:
        one, two = begin + span.start * length, begin + span.end * length
        corners = [(one, 50), (two, 50), (two, 90), (one, 90)]
        boxes.append(corners if axis == 0 else [(y, x) for x, y in corners])
    return boxes


def test_a_word_is_a_part_of_its_line() -> None:
    spans = pieces_of("ab cd", [2, 3])
    words = words_of([span.text for span in spans], boxes_of(spans, (100, 200), 0), LEVEL)
    assert words == (
        Word("ab", ((100.0, 50.0), (180.0, 50.0), (180.0, 90.0), (100.0, 90.0))),
        Word("cd", ((220.0, 50.0), (300.0, 50.0), (300.0, 90.0), (220.0, 90.0))),
    )


def test_words_of_a_tilted_line_are_tilted() -> None:
    tilted = [(x, y + (x - 100) / 10) for x, y in LEVEL]
    spans = pieces_of("ab cd", [2, 3])
    first, last = words_of([span.text for span in spans], boxes_of(spans, (100, 200), 0), tilted)
    assert first.polygon == pytest.approx(np.array([(100, 50), (180, 58), (180, 98), (100, 90)]))
    assert last.polygon == pytest.approx(np.array([(220, 62), (300, 70), (300, 110), (220, 102)]))


def test_a_line_that_was_turned_by_180_degrees_begins_at_its_other_end() -> None:
    spans = pieces_of("ab cde", [2, 3])
    boxes = boxes_of(spans, (100, 180), 0)
    polygon = [(100, 50), (280, 50), (280, 90), (100, 90)]
    first, last = words_of([span.text for span in spans], boxes, polygon, upside_down=True)
    assert (first.text, last.text) == ("ab", "cde")
    assert [x for x, _ in first.polygon] == pytest.approx([220, 280, 280, 220])
    assert [x for x, _ in last.polygon] == pytest.approx([100, 190, 190, 100])
    # Their corners are those of the box, as the line's are.
    assert first.polygon[0] == pytest.approx((220, 50))


def test_the_words_of_a_vertical_line_are_below_each_other() -> None:
    spans = pieces_of("ab cd", [2, 3])
    polygon = [(50, 100), (90, 100), (90, 300), (50, 300)]
    words = words_of([span.text for span in spans], boxes_of(spans, (100, 200), 1), polygon)
    assert words == (
        Word("ab", ((50.0, 100.0), (90.0, 100.0), (90.0, 180.0), (50.0, 180.0))),
        Word("cd", ((50.0, 220.0), (90.0, 220.0), (90.0, 300.0), (50.0, 300.0))),
    )


@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4)), min_size=4, max_size=4))
def test_no_word_leaves_its_line(polygon: list[tuple[float, float]]) -> None:
    box = [(-math.inf, 0), (math.inf, 0), (1e9, 9), (-1e9, 9)]
    (word,) = words_of(["word"], [box], polygon)
    for axis in (0, 1):
        places = [point[axis] for point in polygon]
        slack = 1e-6 * (1 + max(map(abs, places)))
        for point in word.polygon:
            assert min(places) - slack <= point[axis] <= max(places) + slack


def test_each_line_has_its_own_words_and_turns() -> None:
    """A line that is dropped for its low score has an angle but no words."""
    polygons = [np.add(LEVEL, (0, 100 * row)) for row in range(3)]
    spans = pieces_of("ab cd", [2, 3])
    result = {
        "dt_polys": polygons,
        "rec_polys": [polygons[0], polygons[2]],
        "textline_orientation_angles": [0, 0, 1],
        "text_word": [["ab", " ", "cd"]] * 2,
        "text_word_region": [boxes_of(spans, (100, 200), 0)] * 2,
    }
    upright, turned = words_by_line(result)
    assert [word.polygon[0] for word in upright] == [(100.0, 50.0), (220.0, 50.0)]
    assert [word.polygon[0] for word in turned] == [(220.0, 250.0), (100.0, 250.0)]
    del result["text_word"]
    assert words_by_line(result) == [(), ()]
    assert words_by_line({"rec_polys": [], "text_word": [], "text_word_region": []}) == []


def test_the_words_of_a_page_that_was_turned_are_where_it_was_sent() -> None:
    """Turned counter-clockwise by a quarter: right of a word means below it on the page that was
    sent."""
    result = Result([("ab cd", 0.9, 100, 50, 200, 40)], size=(1000, 800), angle=90)
    spans = pieces_of("ab cd", [2, 3])
    result |= {
        "text_word": [["ab", " ", "cd"]],
        "text_word_region": [boxes_of(spans, (100, 200), 0)],
        "textline_orientation_angles": [-1],
    }
    (line,) = reading_of(result).lines
    first, last = line.words
    assert first.polygon[0] == line.polygon[0] == (750.0, 100.0)
    assert first.polygon[1] == (750.0, 180.0)
    assert last.polygon[2] == line.polygon[2] == (710.0, 300.0)


def test_words_are_in_both_answers() -> None:
    square = ((1.0, 2.0), (3.4, 2.0), (3.4, 4.0), (1.0, 4.0))
    reading = Reading((Line("ab", 0.5, square, (Word("ab", square),)),))
    (line,) = json.loads(answers.page_lines(reading, 9, 9))["lines"]
    assert line["words"] == [{"text": "ab", "polygon": [list(point) for point in square]}]
    pruned = json.loads(answers.page_paddlex(reading, None))["prunedResult"]
    assert (pruned["text_word"], pruned["text_word_boxes"]) == ([["ab"]], [[[1, 2, 3, 4]]])
    (line,) = json.loads(answers.page_lines(Reading((Line("ab", 0.5, square),)), 9, 9))["lines"]
    assert "words" not in line
