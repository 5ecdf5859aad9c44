"""An instance that sends an invalid message is killed, and another reads its page."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.worker.harness import start_worker

FRAMES = {
    "no head at all": b"\xff" * 64,
    "a payload without end": struct.pack("<IQ", 8, 1 << 50),
    "an empty object": b"{}",
    "an answer without its size": b'{"op":"done","number":1}',
    "a size that is a text": b'{"op":"done","number":1,"width":"x","height":[],"seconds":0}',
    "an answer to another question": b'{"op":"inspected","number":1,"count":1,"sizes":[]}',
    "a fault of no kind": b'{"op":"fault","number":1,"message":"x","seconds":0}',
    "an operation that is a list": b'{"op":["done"]}',
    "an answer to another order": b'{"op":"done","number":9,"width":1,"height":1,"seconds":0}',
    "progress of another order": b'{"op":"progress","number":9}',
    "a second boot": b'{"op":"ready","buildSeconds":0,"warmSeconds":0}',
}


def frame(head: bytes, payload: bytes = b"") -> str:
    """As it goes over the channel, unless it is to be no frame."""
    prefix = struct.pack("<IQ", len(head), len(payload)) if head.startswith(b"{") else b""
    return (prefix + head + payload).decode("latin-1")


@pytest.mark.timeout(300)  # a boot for each, on however busy a machine
def test_an_invalid_message_costs_an_instance_and_no_answer(tmp_path: Path) -> None:
    with start_worker(tmp_path, instances=2, settings={"instances": {"max": 2}}) as worker:
        for number, (what, head) in enumerate(FRAMES.items()):
            worker.until_ready(2)
            flag = str(tmp_path / f"once {number}")
            answer = worker.read(say=what, garbage=frame(head), once=flag)
            assert (answer.status, answer.text) == (200, what)
        worker.until_ready(2)
        counters = worker.counters()
        assert counters["deaths"] == counters["retried"] == len(FRAMES), counters
        # A traceback in its log fails the test when the worker ends.


def test_an_instance_that_reports_too_much_progress_is_killed(tmp_path: Path) -> None:
    progress = b'{"op":"progress","number":1}'
    for what in (frame(progress) * 9, frame(progress, b"and more")):
        with start_worker(tmp_path) as worker:
            flag = str(tmp_path / f"once {len(what)}")
            answer = worker.read(say="read", garbage=what, once=flag)
            assert (answer.status, answer.text) == (200, "read"), answer
            (died,) = [one for one in worker.events() if one["event"] == "instance died"]
            assert "'progress'" in died["why"]
