"""When a pool's objects are listed again."""

from __future__ import annotations

from ocrpool_operator.cluster.resync import ResyncTimer

KEY = ("default", "pages")


def test_a_list_is_due_at_first_and_then_after_each_period() -> None:
    now = 0.0
    timer = ResyncTimer(60.0, lambda: now)
    assert timer.is_due(KEY)
    assert not timer.has_listed(KEY)
    timer.record_list(KEY)

    now = 59.0
    assert (timer.is_due(KEY), timer.has_listed(KEY)) == (False, True)
    now = 60.0
    assert timer.is_due(KEY)
    assert timer.is_due(("default", "others"))


def test_a_pool_that_is_forgotten_is_due() -> None:
    timer = ResyncTimer(60.0, lambda: 0.0)
    timer.record_list(KEY)
    timer.forget_pool(KEY)

    assert timer.is_due(KEY)
