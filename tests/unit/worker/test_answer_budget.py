"""The room of answers: what is counted, and that it is given back by itself."""

from __future__ import annotations

import pytest

from ocrpool_worker.errors import QueueFull, TooLarge
from ocrpool_worker.ipc.answer_budget import AnswerBudget
from ocrpool_worker.ipc.frames import FrameReader, encode
from ocrpool_worker.settings import AdmissionSettings


def room_of(total: int, each: int) -> AnswerBudget:
    return AnswerBudget(AdmissionSettings(answer_memory=total, max_answer=each))


def test_an_answer_counts_from_its_head_until_it_is_let_go() -> None:
    room = room_of(100, 60)
    reader = FrameReader(room)
    stream = encode({"op": "done"}, b"x" * 50)
    assert not list(reader.feed(stream[:-40]))
    assert room.held == 50
    (frame,) = reader.feed(stream[-40:])
    assert (frame.payload, frame.dropped, room.held) == (b"x" * 50, 0, 50)
    del frame
    assert room.held == 0


def test_what_finds_no_room_is_passed_over_and_the_stream_goes_on() -> None:
    room = room_of(100, 60)
    kept = room.take(60)
    reader = FrameReader(room)
    stream = encode({"op": "large"}, b"x" * 41) + encode({"op": "next"}, b"y" * 40)
    frames = [frame for at in range(len(stream)) for frame in reader.feed(stream[at : at + 1])]
    assert [(frame.head["op"], frame.payload, frame.dropped) for frame in frames] == [
        ("large", b"", 41),
        ("next", b"y" * 40, 0),
    ]
    assert kept is not None
    assert room.held == 100


def test_half_an_answer_of_a_dead_instance_is_given_back() -> None:
    room = room_of(100, 60)
    reader = FrameReader(room)
    list(reader.feed(encode({}, b"x" * 50)[:-1]))
    assert room.held == 50
    reader.close()
    assert room.held == 0


def test_refusals_name_the_limit_that_was_met() -> None:
    room = room_of(100, 60)
    assert isinstance(room.refusal(61), TooLarge)
    assert "admission.maxAnswer" in room.refusal(61).message
    assert isinstance(room.refusal(60), QueueFull)
    assert "admission.answerMemory" in room.refusal(60).message
    assert room.fits(60)
    assert not room.fits(61)
    room.check()
    kept = [room.take(50), room.take(50)]
    with pytest.raises(QueueFull):
        room.check()
    assert None not in kept
