"""Digests of requests that cost two instances, remembered for a while."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from ocrpool_worker.ipc.shared_buffer import Buffer
from ocrpool_worker.supervisor import poison_cache
from ocrpool_worker.supervisor.poison_cache import REMEMBERED_MOST, REMEMBERED_SECONDS, PoisonCache
from ocrpool_worker.supervisor.requests import RequestSpec

PLAIN = RequestSpec("image", params={"text_det_thresh": 0.4})


def add(found: PoisonCache, data: Buffer, now: float, order: RequestSpec = PLAIN) -> None:
    asyncio.run(found.add(data, order, now))


def remaining(found: PoisonCache, data: Buffer, now: float, order: RequestSpec = PLAIN) -> float:
    return asyncio.run(found.remaining(data, order, now))


def test_remembered_until_its_time_is_over() -> None:
    found = PoisonCache()
    assert remaining(found, b"poison", 100.0) == 0
    add(found, b"poison", 100.0)
    assert remaining(found, b"poison", 100.0) == REMEMBERED_SECONDS
    assert remaining(found, bytearray(b"poison"), 160.0) == REMEMBERED_SECONDS - 60
    assert remaining(found, b"prison", 160.0) == 0
    assert remaining(found, b"poison", 100.0 + REMEMBERED_SECONDS) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"params": {}},
        {"params": {"text_det_thresh": 0.5}},
        {"params": {"text_det_thresh": 0.4, "use_doc_unwarping": True}},
        {"pictures": True},
        {"form": "paddlex"},
        {"kind": "tiff"},
        {"kind": "pixels", "shape": (1, 2, 3)},
    ],
    ids=str,
)
def test_the_same_bytes_asked_for_in_another_way_are_another_request(
    change: dict[str, object],
) -> None:
    found = PoisonCache()
    add(found, b"file", 0.0)
    assert remaining(found, b"file", 1.0, replace(PLAIN, **change)) == 0  # type: ignore[arg-type]
    again = replace(PLAIN, params=dict(reversed(PLAIN.params.items())), width=7)
    assert remaining(found, b"file", 1.0, again) > 0


def test_a_second_offence_starts_the_time_anew() -> None:
    found = PoisonCache()
    add(found, b"first", 0.0)
    add(found, b"second", 1.0)
    add(found, b"first", 100.0)
    now = REMEMBERED_SECONDS + 50.0
    assert remaining(found, b"second", now) == 0
    assert remaining(found, b"first", now) == 50.0


def test_the_oldest_goes_when_there_are_too_many() -> None:
    found = PoisonCache()
    for number in range(REMEMBERED_MOST + 1):
        add(found, f"{number:4}".encode(), 0.0)
    assert remaining(found, b"   0", 1.0) == 0
    assert remaining(found, b"   1", 1.0) > 0
    assert remaining(found, f"{REMEMBERED_MOST:4}".encode(), 1.0) > 0


def test_no_digest_is_made_where_nothing_as_large_is_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(data: Buffer, order: RequestSpec) -> bytes:
        raise AssertionError("a digest was made for nothing")

    found = PoisonCache()
    add(found, b"poison", 0.0)
    monkeypatch.setattr(poison_cache, "_digest", never)
    assert remaining(found, b"another", 1.0) == 0
    assert remaining(found, b"poison", REMEMBERED_SECONDS + 1) == 0


def test_many_bytes_are_digested_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    where: list[threading.Thread] = []
    made = poison_cache._digest

    def noted(data: Buffer, order: RequestSpec) -> bytes:
        where.append(threading.current_thread())
        return made(data, order)

    monkeypatch.setattr(poison_cache, "_digest", noted)
    found, large = PoisonCache(), bytes(8 << 20)
    add(found, large, 0.0)
    assert remaining(found, large, 1.0) > 0
    add(found, b"small", 1.0)
    main = threading.current_thread()
    assert [thread is main for thread in where] == [False, False, True]
