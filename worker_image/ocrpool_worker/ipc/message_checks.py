"""Checks the messages of an instance before they are used.

An instance whose memory is corrupt can send anything. A message that is not an answer to its last
command ends the instance, and another instance reads its page.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ocrpool_worker.ipc.frames import ChannelBroken, Frame

Check = Callable[[Any], bool]

# For a page's side, a document's number of pages, and seconds.
_UPPER_BOUND = 2**31


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _UPPER_BOUND


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(size, list) and len(size) == 2 and all(map(_count, size)) for size in value
    )


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < _UPPER_BOUND


def _bytes(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and value >= 0)


def _one_of(*values: str) -> Check:
    return lambda value: isinstance(value, str) and value in values


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
# The answers that each command may get.
_ANSWERS = {
    "start": ("ready", "failed"),
    "read": ("progress", "done", "refused", "fault"),
    "inspect": ("inspected", "refused", "fault"),
}


def check(head: Mapping[str, Any], *, expected: str | None, number: int) -> None:
    """Raise ChannelBroken where a frame is not an answer to the command `expected` (`start`, `read`
    or `inspect`; None: no answer is expected) with this number."""
    op = head.get("op")
    if not isinstance(op, str) or op not in _FIELDS:
        raise ChannelBroken(f"a frame of unknown kind: op is {op!r:.50}")
    if expected is None or op not in _ANSWERS[expected]:
        raise ChannelBroken(f"{op!r} as an answer to {expected or 'no command'}")
    if expected != "start" and head.get("number") != number:
        raise ChannelBroken(f"an answer to command {head.get('number')!r:.20}, not to {number}")
    for name, valid in _FIELDS[op].items():
        if not valid(head.get(name)):
            raise ChannelBroken(f"{op!r} whose {name} is {head.get(name)!r:.50}")


def check_progress(frame: Frame, count: int, seconds: float, interval: float) -> None:
    """Raise ChannelBroken where the `count`-th progress message of a command is one more than an
    interval of `interval` seconds allows, `seconds` after the command, or where it has a
    payload."""
    if frame.payload or frame.dropped:
        raise ChannelBroken("'progress' with a payload")
    if count > seconds / interval + 1:
        raise ChannelBroken(f"'progress' {count} times within {seconds:.3g} s")
