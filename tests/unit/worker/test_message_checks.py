"""What an instance says is believed only where it answers what it was asked."""

from __future__ import annotations

from typing import Any

import pytest

from ocrpool_worker.ipc.frames import ChannelBroken
from ocrpool_worker.ipc.message_checks import check

_MORE = {"number": 7, "seconds": 0.1, "rss": 5, "rssPeak": None, "device": None}
DONE = {"op": "done", "width": 4, "height": 3, **_MORE}
INSPECTED = {"op": "inspected", "count": 2, "sizes": [[1, 2], [3, 4]], **_MORE}
REFUSED = {"op": "refused", "reason": "TooLarge", "message": "too large", **_MORE}
FAULT = {"op": "fault", "fault": "memory", "message": "none left", **_MORE}
READY = {"op": "ready", "rss": 5, "buildSeconds": 1.0, "warmSeconds": 2.0}
FAILED = {"op": "failed", "fault": "engine", "message": "no such option"}


@pytest.mark.parametrize(
    ("expected", "head"),
    [
        ("read", DONE),
        ("read", REFUSED),
        ("read", FAULT),
        ("inspect", INSPECTED),
        ("inspect", REFUSED),
        ("inspect", FAULT),
        ("start", READY),
        ("start", FAILED),
    ],
)
def test_an_answer_to_the_command_is_valid(expected: str, head: dict[str, Any]) -> None:
    check(head, expected=expected, number=7)


@pytest.mark.parametrize(
    ("expected", "head"),
    [
        (None, DONE),
        (None, READY),
        ("read", INSPECTED),
        ("read", READY),
        ("inspect", DONE),
        ("start", DONE),
        ("read", {}),
        ("read", {"op": ["done"]}),
        ("read", {"op": None}),
        ("read", {"op": "done"}),
        ("read", DONE | {"number": 6}),
        ("read", DONE | {"width": "4"}),
        ("read", DONE | {"width": -1}),
        ("read", DONE | {"width": True}),
        ("read", DONE | {"height": 1e400}),
        ("read", DONE | {"seconds": None}),
        ("read", DONE | {"seconds": float("nan")}),
        ("read", DONE | {"rss": "much"}),
        ("read", FAULT | {"fault": "whim"}),
        ("read", FAULT | {"fault": []}),
        ("read", REFUSED | {"reason": None}),
        ("inspect", INSPECTED | {"count": 10**40}),
        ("inspect", INSPECTED | {"sizes": [[1]]}),
        ("inspect", INSPECTED | {"sizes": 5}),
        ("start", FAILED | {"message": {}}),
    ],
)
def test_anything_else_is_invalid(expected: str | None, head: dict[str, Any]) -> None:
    with pytest.raises(ChannelBroken, match=r"\w"):
        check(head, expected=expected, number=7)
