"""The budget of answers: what is counted, and that it is given back by itself."""

from __future__ import annotations

import pytest

from ocrpool_worker.errors import QueueFull, TooLarge
from ocrpool_worker.ipc.answer_budget import AnswerBudget
from ocrpool_worker.ipc.frames import FrameReader, encode
from ocrpool_worker.settings import AdmissionSettings


def budget_of(total: int, each: int) -> AnswerBudget:
    return AnswerBudget(AdmissionSettings(answer_memory=total, max_answer=each))


def test_an_answer_counts_from_its_head_until_it_is_released() -> None:
    budget = budget_of(100, 60)
    reader = FrameReader(budget)
    stream = encode({"op": "done"}, b"x" * 50)
    assert not list(reader.feed(stream[:-40]))
    assert budget.used == 50
    (frame,) = reader.feed(stream[-40:])
    assert (frame.payload, frame.dropped, budget.used) == (b"x" * 50, 0, 50)
    del frame
    assert budget.used == 0


def test_a_payload_over_the_budget_is_skipped_and_the_stream_continues() -> None:
    budget = budget_of(100, 60)
    kept = budget.reserve(60)
    reader = FrameReader(budget)
    stream = encode({"op": "large"}, b"x" * 41) + encode({"op": "next"}, b"y" * 40)
    frames = [frame for at in range(len(stream)) for frame in reader.feed(stream[at : at + 1])]
    assert [(frame.head["op"], frame.payload, frame.dropped) for frame in frames] == [
        ("large", b"", 41),
        ("next", b"y" * 40, 0),
    ]
    assert kept is not None
    assert budget.used == 100


def test_an_incomplete_answer_is_given_back() -> None:
    budget = budget_of(100, 60)
    reader = FrameReader(budget)
    list(reader.feed(encode({}, b"x" * 50)[:-1]))
    assert budget.used == 50
    reader.close()
    assert budget.used == 0


def test_errors_name_the_limit_that_was_reached() -> None:
    budget = budget_of(100, 60)
    assert isinstance(budget.error_for(61), TooLarge)
    assert "admission.maxAnswer" in budget.error_for(61).message
    assert isinstance(budget.error_for(60), QueueFull)
    assert "admission.answerMemory" in budget.error_for(60).message
    assert budget.fits_one_request(60)
    assert not budget.fits_one_request(61)
    budget.check_available()
    kept = [budget.reserve(50), budget.reserve(50)]
    with pytest.raises(QueueFull):
        budget.check_available()
    assert None not in kept
