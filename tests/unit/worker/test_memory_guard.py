"""When a worker gives up an instance by itself."""

from __future__ import annotations

from ocrpool.protocol import Memory
from ocrpool_worker.supervisor.memory_guard import MemoryGuard

RESERVE = 1000


def looks(*free: int | None) -> list[bool]:
    guard = MemoryGuard(RESERVE)
    return [
        guard.should_shrink(
            None if left is None else Memory(total=9000, used=9000 - left, free=left)
        )
        for left in free
    ]


def test_a_quarter_of_the_reserve_is_still_enough() -> None:
    assert looks(250, 250, 250) == [False, False, False]


def test_less_in_two_snapshots_in_a_row_costs_one_instance() -> None:
    assert looks(249, 249) == [False, True]


def test_one_low_snapshot_changes_nothing() -> None:
    assert looks(0, 5000, 0, 5000) == [False, False, False, False]


def test_the_count_starts_again_after_an_instance_is_given_up() -> None:
    assert looks(0, 0, 0, 0) == [False, True, False, True]


def test_an_unknown_memory_changes_nothing() -> None:
    assert looks(0, None, 0) == [False, False, True]
