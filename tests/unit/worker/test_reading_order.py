"""The order of lines is a reader's, at any resolution and skew, and on any kind of page."""

from __future__ import annotations

import math
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrpool_worker.engine import reading_order as order
from ocrpool_worker.engine.base import Line
from ocrpool_worker.engine.reading_order import reading_order


def line(text: str, x: float, y: float, width: float, height: float) -> Line:
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    return Line(text, 1.0, corners)


def scaled(lines: list[Line], factor: float, *, whole: bool = True) -> list[Line]:
    """The same page at another resolution; PaddleX's corners are whole pixels."""
    return [
        Line(
            one.text,
            one.score,
            tuple(
                (float(round(x * factor)), float(round(y * factor)))
                if whole
                else (x * factor, y * factor)
                for x, y in one.polygon
            ),
        )
        for one in lines
    ]


def turned(lines: list[Line], degrees: float) -> list[Line]:
    """The same page, turned clockwise about its top left corner."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [
        Line(
            one.text,
            one.score,
            tuple(
                (float(round(cos * x - sin * y)), float(round(sin * x + cos * y)))
                for x, y in one.polygon
            ),
        )
        for one in lines
    ]


def read(lines: list[Line], seed: int = 1) -> list[str]:
    """The texts in reading order; the input is shuffled."""
    shuffled = list(lines)
    random.Random(seed).shuffle(shuffled)
    return [one.text for one in reading_order(shuffled)]


def receipt(rows: int = 25) -> list[Line]:
    """Article and price on 210 mm at 100 dpi, in letters of 10 points."""
    lines = []
    for row in range(rows):
        y = 60 + 22 * row
        lines.append(line(f"article {row}", 50, y, 180, 16))
        lines.append(line(f"price {row}", 700, y + row % 3 - 1, 60, 16))
    return lines


@pytest.mark.parametrize("dpi", [75, 100, 150, 300, 600])
@pytest.mark.parametrize("degrees", [0, 0.4, -0.4, 2, -2, 5])
def test_article_comes_before_its_price(dpi: int, degrees: float) -> None:
    page = turned(scaled(receipt(), dpi / 100, whole=False), degrees)
    assert read(page) == [text for row in range(25) for text in (f"article {row}", f"price {row}")]


def test_short_words_alone_do_not_turn_the_page() -> None:
    """Corners of short boxes are off by a pixel, which over the width of a page is a whole line."""
    page = []
    for row in range(20):
        for column in range(4):
            x, y = 100.0 + 600 * column, 100.0 + 30 * row
            off = (0, 0, 0, 1, -1)[(row + column) % 5]
            corners = ((x, y), (x + 40, y + off), (x + 40, y + 20 + off), (x, y + 20))
            page.append(Line(f"{row} {column}", 1.0, corners))
    assert read(page) == [f"{row} {column}" for row in range(20) for column in range(4)]


@pytest.mark.parametrize("pitch", [6, 8, 9])
def test_small_print_in_two_columns(pitch: int) -> None:
    """Two lines that are less than 10 pixels apart are two lines."""
    page = []
    for row in range(12):
        # Each line begins slightly further left than the one above.
        page.append(line(f"left {row}", 40 - row, 20 + pitch * row, 200, pitch * 0.8))
        page.append(line(f"right {row}", 300 - row, 20 + pitch * row, 200, pitch * 0.8))
    assert read(page) == [f"{side} {row}" for row in range(12) for side in ("left", "right")]


@pytest.mark.parametrize("factor", [0.5, 1, 4])
def test_a_headline_is_read_as_a_whole_beside_small_lines(factor: float) -> None:
    small = [line(f"small {row}", 400, 98 + 25 * row, 200, 20) for row in range(3)]
    under = line("under", 50, 200, 500, 20)
    left = [line("HEAD", 50, 100, 300, 70), *small, under]
    assert read(scaled(left, factor)) == ["HEAD", "small 0", "small 1", "small 2", "under"]
    right = [line("HEAD", 700, 100, 300, 70), *small, under]
    assert read(scaled(right, factor)) == ["small 0", "small 1", "small 2", "HEAD", "under"]


def test_larger_letters_within_a_line_stay_in_it() -> None:
    page = [
        line("from", 50, 115, 60, 18),
        line("9,99", 120, 95, 120, 40),
        line("a piece", 250, 115, 90, 18),
        line("tm", 345, 108, 14, 8),
        line("today", 365, 115, 60, 18),
        line("next", 50, 150, 400, 18),
    ]
    assert read(page) == ["from", "9,99", "a piece", "tm", "today", "next"]


FORMULA = [
    line("where E=mc", 50, 100, 200, 30),
    line("2", 252, 92, 10, 14),
    line("and H", 290, 100, 80, 30),
    line("2", 371, 123, 10, 15),
    line("O is", 383, 100, 60, 30),
    line("water", 480, 100, 100, 30),
    line("see note", 50, 145, 150, 30),
    line("12)", 203, 136, 24, 16),
    line("below", 270, 145, 100, 30),
    line("x", 50, 190, 20, 30),
    line("n+1", 72, 182, 34, 15),
    line("i", 72, 213, 8, 15),
    line("end", 50, 240, 100, 30),
]


@pytest.mark.parametrize("factor", [0.5, 1, 4])
@pytest.mark.parametrize("degrees", [0, 2, -2])
def test_a_superscript_or_subscript_follows_what_it_stands_at(
    factor: float, degrees: float
) -> None:
    page = turned(scaled(FORMULA, factor, whole=False), degrees)
    assert read(page) == [one.text for one in FORMULA]


def test_a_superscript_that_comes_first_is_one_too() -> None:
    note = [line("1", 50, 96, 8, 14), line("The first note", 60, 104, 300, 30)]
    assert read([line("text", 50, 60, 400, 30), *note]) == ["text", "1", "The first note"]


def test_small_print_beside_the_next_line_is_no_script() -> None:
    """Beyond its own height from the headline's side, or under it."""
    page = [
        line("HEAD", 50, 100, 200, 40),
        line("far", 290, 134, 100, 24),
        line("near", 50, 134, 100, 24),
    ]
    assert read(page) == ["HEAD", "near", "far"]


def test_lines_go_through_behind_a_stamp() -> None:
    page = [*receipt(6), line("PAID", 400, 60, 200, 130)]
    texts = read(page)
    assert [text for text in texts if text != "PAID"] == read(receipt(6))


def test_a_line_that_bends_is_one_line() -> None:
    """An open book: each word is a little lower than the one before, in all more than a line."""
    page = [
        line(f"{row} {word}", 50 + 110 * word, 100 + 30 * row + 9 * word, 100, 22)
        for row in range(8)
        for word in range(8)
    ]
    assert read(page) == [f"{row} {word}" for row in range(8) for word in range(8)]


@pytest.mark.parametrize("factor", [0.5, 1, 3])
def test_vertical_text_is_read_from_the_right(factor: float) -> None:
    title = line("題名", 100, 20, 300, 40)
    columns = [line(f"縦書き{n}", 360 - 40 * n, 80 + n % 2, 24, 500) for n in range(7)]
    expected = ["題名", *(f"縦書き{n}" for n in range(7))]
    assert read(scaled([title, *columns], factor)) == expected


def test_narrow_digits_are_no_vertical_text() -> None:
    page = [line(f"{1 + 3 * column + row}"[:1], 50 + 60 * column, 20 + 40 * row, 9, 24)
            for row in range(3) for column in range(3)]  # fmt: skip
    assert read(page) == [f"{1 + 3 * column + row}" for row in range(3) for column in range(3)]


BOXES = st.lists(
    st.tuples(st.integers(0, 2000), st.integers(0, 2000), st.integers(1, 600), st.integers(1, 200)),
    max_size=40,
    unique=True,
)


@given(BOXES, st.integers(-3, 6), st.randoms(use_true_random=False))
def test_the_order_is_independent_of_scale_and_input_order(
    boxes: list[tuple[int, int, int, int]], power: int, rng: random.Random
) -> None:
    """Powers of two, because they keep the numbers exact."""
    page = [line(f"line {index}", *box) for index, box in enumerate(boxes)]
    expected = [one.text for one in reading_order(page)]
    assert sorted(expected) == sorted(one.text for one in page)
    other = scaled(page, 2.0**power, whole=False)
    rng.shuffle(other)
    assert [one.text for one in reading_order(other)] == expected


def test_sorting_10_000_lines_is_fast() -> None:
    page = [
        line(f"{row} {column}", 50 + 100 * column, 10 + 12 * row, 90, 10)
        for row in range(1000)
        for column in range(10)
    ]
    began = time.process_time()
    assert read(page) == [f"{row} {column}" for row in range(1000) for column in range(10)]
    assert time.process_time() - began < 20


def test_the_number_of_comparisons_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(order, "_MOST_COMPARISONS", 20_000, raising=False)
    compared = 0
    on_one_line = order._on_one_line

    def counting(*boxes: order._Box) -> bool:
        nonlocal compared
        compared += 1
        return on_one_line(*boxes)

    monkeypatch.setattr(order, "_on_one_line", counting)
    rng = random.Random(1)
    page = [
        line(f"{n}", *(rng.random() * most for most in (4000, 4000, 400, 4000)))
        for n in range(2000)
    ]
    texts = read(page)
    assert sorted(texts) == sorted(one.text for one in page)
    # Each counted step has at most two comparisons, and each box adds a few more.
    assert compared < 2 * 20_000 + 10 * len(page)
    assert read(page, seed=2) == texts


def test_boxes_beyond_the_bound_are_sorted_in_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "_MOST_COMPARISONS", -1, raising=False)
    monkeypatch.setattr(order, "_row", None)  # not asked any more
    assert read(turned(receipt(), 2)) == read(receipt())
    assert read(receipt())[:3] == ["article 0", "price 0", "article 1"]
