"""The queue: nothing lost, nothing doubled, and requests take turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrpool_worker.supervisor.fair_queue import FairQueue
from ocrpool_worker.supervisor.requests import AcceptedRequest, RequestSpec, WorkItem


@pytest.fixture(scope="module", autouse=True)
def loop() -> Iterator[None]:
    """WorkItem carries a future, and a future wants a loop."""
    own = asyncio.new_event_loop()
    asyncio.set_event_loop(own)
    asyncio._set_running_loop(own)
    yield
    asyncio._set_running_loop(None)
    asyncio.set_event_loop(None)
    own.close()


def accepted(accepted_at: float = 0.0) -> AcceptedRequest:
    return AcceptedRequest(RequestSpec("pdf"), b"x", accepted_at)


def items_of(of: AcceptedRequest, count: int) -> list[WorkItem]:
    return [WorkItem(of, "read", page, 0.0) for page in range(count)]


def pulled(queue: FairQueue, instance: str = "i1") -> list[tuple[int, int | None]]:
    found = []
    while (item := queue.pull(instance, alone=False)) is not None:
        found.append((item.request.number, item.page))
    return found


def test_a_single_page_does_not_wait_for_a_long_document() -> None:
    queue, long, short = FairQueue(), accepted(), accepted()
    for item in items_of(long, 5):
        queue.put(item)
    queue.put(items_of(short, 1)[0])
    assert len(queue) == 2
    assert pulled(queue) == [
        (long.number, 0),
        (short.number, 0),
        *[(long.number, page) for page in (1, 2, 3, 4)],
    ]
    assert len(queue) == 0


def test_an_item_that_is_put_back_comes_first() -> None:
    queue, one, two = FairQueue(), accepted(), accepted()
    for item in [*items_of(one, 2), *items_of(two, 1)]:
        queue.put(item)
    failed = queue.pull("i1", alone=False)
    assert failed is not None
    queue.put_back(failed)
    assert queue.pull("i2", alone=False) is failed


def test_an_item_that_failed_on_an_instance_waits_for_another_one() -> None:
    queue, one, two = FairQueue(), accepted(), accepted()
    (failed,), (fresh,) = items_of(one, 1), items_of(two, 1)
    failed.failed_on.append("i1")
    queue.put(failed)
    queue.put(fresh)
    assert queue.pull("i1", alone=False) is fresh
    assert queue.pull("i1", alone=False) is None
    assert len(queue) == 1
    assert queue.pull("i2", alone=False) is failed


def test_an_item_that_failed_returns_to_the_only_instance() -> None:
    queue = FairQueue()
    (failed,) = items_of(accepted(), 1)
    failed.failed_on.append("i1")
    queue.put(failed)
    assert queue.pull("i1", alone=True) is failed


def test_a_failed_page_does_not_delay_its_own_document() -> None:
    queue = FairQueue()
    first, second = items_of(accepted(), 2)
    queue.put(second)
    first.failed_on.append("i1")
    queue.put_back(first)
    assert queue.pull("i1", alone=False) is second


def test_a_dropped_request_leaves_nothing() -> None:
    queue, gone, stays = FairQueue(), accepted(accepted_at=1.0), accepted(accepted_at=2.0)
    for item in [*items_of(gone, 3), *items_of(stays, 1)]:
        queue.put(item)
    assert queue.oldest() == 1.0
    queue.drop(gone)
    queue.drop(gone)
    assert (len(queue), queue.oldest()) == (1, 2.0)
    assert pulled(queue) == [(stays.number, 0)]
    assert queue.oldest() is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "pull", "fail", "drop"]),
        st.integers(min_value=0, max_value=5),
        st.sampled_from(["i1", "i2", "i3"]),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS)
def test_no_item_is_lost_or_duplicated(steps: list[tuple[str, int, str]]) -> None:
    queue, requests = FairQueue(), [accepted() for _ in range(6)]
    waiting: set[WorkItem] = set()
    running: list[tuple[WorkItem, str]] = []

    def pull(instance: str, alone: bool) -> None:
        item = queue.pull(instance, alone=alone)
        allowed = [one for one in waiting if alone or instance not in one.failed_on]
        assert (item is None) == (not allowed)
        if item is not None:
            assert item in allowed, "given out twice, or where it failed before"
            waiting.remove(item)
            running.append((item, instance))

    for action, number, instance in steps:
        if action == "put":
            item = WorkItem(requests[number], "read", number, 0.0)
            queue.put(item)
            waiting.add(item)
        elif action == "pull":
            pull(instance, alone=False)
        elif action == "fail" and running:
            item, where = running.pop(number % len(running))
            item.failed_on.append(where)
            queue.put_back(item)
            waiting.add(item)
        elif action == "drop":
            queue.drop(requests[number])
            waiting = {one for one in waiting if one.request is not requests[number]}
        assert len(queue) == len({one.request for one in waiting})
    while waiting:
        pull("i1", alone=True)
    assert queue.pull("i1", alone=True) is None


@settings(deadline=None)
@given(st.lists(st.integers(min_value=1, max_value=9), min_size=1, max_size=6))
def test_every_request_gets_one_item_in_every_round(lengths: list[int]) -> None:
    queue, requests = FairQueue(), [accepted() for _ in lengths]
    for of, count in zip(requests, lengths, strict=True):
        for item in items_of(of, count):
            queue.put(item)
    order = pulled(queue)
    share: Callable[[int], list[int]] = lambda turn: [  # noqa: E731
        of.number for of, count in zip(requests, lengths, strict=True) if count > turn
    ]
    expected = [number for turn in range(max(lengths)) for number in share(turn)]
    assert [number for number, _ in order] == expected
    for of, count in zip(requests, lengths, strict=True):
        assert [page for number, page in order if number == of.number] == list(range(count))
