"""Quantities of bytes, read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrpool.protocol.quantity import format_bytes, parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("17", 17),
        ("1Ki", 1024),
        ("1k", 1000),
        ("1.5Gi", 1610612736),
        (" 2Gi ", 2 * 2**30),
        ("0.5", 1),
        ("1.0001k", 1001),
        ("3Pi", 3 * 2**50),
        (4096, 4096),
    ],
)
def test_a_quantity_is_a_number_of_bytes(text: str | int, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize(
    "text", ["", "1G1", "Gi", "-1", "1e3", "1 Gi", "1kb", "1m", "0x10", "nan", "1.", ".5Gi", True]
)
def test_what_is_no_quantity_is_refused_with_an_example(text: str | bool) -> None:
    with pytest.raises(ValueError, match=r"is not a quantity of bytes; write for example 512Mi"):
        parse_bytes(text)


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ValueError, match="-5 is negative"):
        parse_bytes(-5)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (1023, "1023"),
        (1024, "1Ki"),
        (1536, "1.5Ki"),
        (128 * 2**20, "128Mi"),
        (1503238554, "1.4Gi"),
        (5000 * 2**40, "5000Ti"),
    ],
)
def test_bytes_for_a_person(count: int, text: str) -> None:
    assert format_bytes(count) == text


@given(st.integers(min_value=0, max_value=2**45))
def test_what_was_written_reads_back_within_its_one_decimal(count: int) -> None:
    assert parse_bytes(format_bytes(count)) == pytest.approx(count, rel=0.05, abs=1)
