"""What an instance tells while it is on a page, and what its supervisor takes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrpool_worker.instance.progress import ProgressReporter
from ocrpool_worker.ipc.frames import ChannelBroken, Frame
from ocrpool_worker.ipc.message_checks import check_progress

INTERVAL = 1.0


class Page:
    """A page in hand, and what was told of it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.told: list[float] = []
        self.progress = ProgressReporter(self._tell, INTERVAL, lambda: self.now)
        self.progress.begin(7)

    def _tell(self, number: int) -> None:
        assert number == 7
        self.told.append(self.now - 100)

    def part(self, seconds: float) -> None:
        self.now += seconds
        self.progress()


@given(st.lists(st.floats(0, 3), max_size=60))
def test_the_reporter_stays_within_the_rate_that_is_allowed(parts: list[float]) -> None:
    page = Page()
    for seconds in parts:
        before = len(page.told)
        page.part(seconds)
        if seconds >= INTERVAL:
            assert len(page.told) == before + 1
    for count, when in enumerate(page.told, 1):
        check_progress(Frame({}), count, when, INTERVAL)


def test_more_progress_than_allowed_is_invalid() -> None:
    check_progress(Frame({}), 6, 5.0, INTERVAL)
    for frame, told in ((Frame({}), 7), (Frame({}, b"x"), 1), (Frame({}, dropped=9), 1)):
        with pytest.raises(ChannelBroken, match="progress"):
            check_progress(frame, told, 5.0, INTERVAL)


def test_nothing_is_reported_without_a_page() -> None:
    page = Page()
    page.progress.end()
    page.part(5)
    page.progress.begin()
    page.part(5)
    assert page.told == []


def test_the_longest_time_without_progress_is_measured() -> None:
    page = Page()
    for seconds in (0.25, 2.0, 0.5):
        page.part(seconds)
    page.now += 4.0
    page.progress.end()
    assert page.progress.longest == 4.0
    page.progress.begin()
    assert page.progress.longest == 0.0
