"""Digests of requests that cost two instances, remembered for a while."""

from __future__ import annotations

import pytest

from ocrpool_worker.supervisor import refusals
from ocrpool_worker.supervisor.refusals import REMEMBERED_MOST, REMEMBERED_SECONDS, Refusals


def test_remembered_until_its_time_is_over() -> None:
    found = Refusals()
    assert found.remaining(b"poison", 100.0) == 0
    found.add(b"poison", 100.0)
    assert found.remaining(b"poison", 100.0) == REMEMBERED_SECONDS
    assert found.remaining(bytearray(b"poison"), 160.0) == REMEMBERED_SECONDS - 60
    assert found.remaining(b"another", 160.0) == 0
    assert found.remaining(b"poison", 100.0 + REMEMBERED_SECONDS) == 0


def test_a_second_offence_starts_the_time_anew() -> None:
    found = Refusals()
    found.add(b"first", 0.0)
    found.add(b"second", 1.0)
    found.add(b"first", 100.0)
    now = REMEMBERED_SECONDS + 50.0
    assert found.remaining(b"second", now) == 0
    assert found.remaining(b"first", now) == 50.0


def test_the_oldest_goes_when_there_are_too_many() -> None:
    found = Refusals()
    for number in range(REMEMBERED_MOST + 1):
        found.add(str(number).encode(), 0.0)
    assert found.remaining(b"0", 1.0) == 0
    assert found.remaining(b"1", 1.0) > 0
    assert found.remaining(str(REMEMBERED_MOST).encode(), 1.0) > 0


def test_no_digest_is_made_while_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(data: bytes) -> bytes:
        raise AssertionError("a digest was made for nothing")

    found = Refusals()
    found.add(b"poison", 0.0)
    monkeypatch.setattr(refusals, "_digest", never)
    assert found.remaining(b"page", REMEMBERED_SECONDS + 1) == 0
