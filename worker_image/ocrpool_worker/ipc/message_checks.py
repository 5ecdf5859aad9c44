"""What an instance may say, and when: held against this before any of it is believed.

An instance whose memory was spoiled can send anything. What is no answer to what it was asked ends
it, as its death would, and its page is read by another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ocrpool_worker.ipc.frames import ChannelBroken, Frame

Check = Callable[[Any], bool]

# A page's side, or the number of a document's pages: more is nonsense.
_MOST = 2**31


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(size, list) and len(size) == 2 and all(map(_count, size)) for size in value
    )


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _MOST


def _bytes(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and value >= 0)


def _one_of(*words: str) -> Check:
    return lambda value: isinstance(value, str) and value in words


_MEMORY: dict[str, Check] = {"rss": _bytes, "rssPeak": _bytes, "device": _bytes}
_FAULT = _one_of("memory", "device", "engine")
_ANSWER: dict[str, Check] = {**_MEMORY, "seconds": _seconds}
_FIELDS: dict[str, dict[str, Check]] = {
    "ready": {**_MEMORY, "buildSeconds": _seconds, "warmSeconds": _seconds},
    "failed": {"fault": _FAULT, "message": _text},
    "progress": {},
    "done": {**_ANSWER, "width": _count, "height": _count},
    "inspected": {**_ANSWER, "count": _count, "sizes": _sizes},
    "refused": {**_ANSWER, "reason": _text, "message": _text},
    "fault": {**_ANSWER, "fault": _FAULT, "message": _text},
}
# By what it was asked.
_ANSWERS = {
    "boot": ("ready", "failed"),
    "read": ("progress", "done", "refused", "fault"),
    "inspect": ("inspected", "refused", "fault"),
}


def check(head: Mapping[str, Any], *, asked: str | None, number: int) -> None:
    """Whether a frame answers what was asked: `boot`, `read` or `inspect` (None: nothing), as the
    order of this number. Raises ChannelBroken."""
    op = head.get("op")
    if not isinstance(op, str) or op not in _FIELDS:
        raise ChannelBroken(f"a frame that says nothing: op is {op!r:.50}")
    if asked is None or op not in _ANSWERS[asked]:
        raise ChannelBroken(f"{op!r} where it was asked for {asked or 'nothing'}")
    if asked != "boot" and head.get("number") != number:
        raise ChannelBroken(f"an answer to order {head.get('number')!r:.20}, not to {number}")
    for name, right in _FIELDS[op].items():
        if not right(head.get(name)):
            raise ChannelBroken(f"{op!r} whose {name} is {head.get(name)!r:.50}")


def check_progress(frame: Frame, told: int, seconds: float, interval: float) -> None:
    """Whether an instance may say for the `told`-th time that its work comes on, `seconds` after it
    was given it: at most once in `interval`, and what it owes it says in the answer. Raises
    ChannelBroken."""
    if frame.payload or frame.dropped:
        raise ChannelBroken("'progress' with a payload")
    if told > seconds / interval + 1:
        raise ChannelBroken(f"'progress' {told} times within {seconds:.3g} s")
