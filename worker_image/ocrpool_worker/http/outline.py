"""Finds in the JSON of `POST /ocr` what is needed, and builds nothing of the rest.

Three speeds, by what is in it. A body whose `file` is plain base64 and that holds little else, as
nearly all are, is read around that text (`cut`). Another one is skimmed in C, which checks the
syntax and builds nothing (`outline`). That takes up to 5 ms a megabyte and holds the interpreter:
a large one is skimmed in a process of its own (`http.skim`), so that the event loop goes on.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pybase64

from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.ipc.mailbox import Buffer

# JSON that is validated as it is; what a validator builds of it is up to 20 times as large.
SMALL = 64 * 1024
# A value that is longer than this is right for no parameter.
_LONGEST_VALUE = 16 * 1024
# Base64 is decoded in steps of so many characters, a millisecond or two each.
STEP = 1 << 20
_FILE = re.compile(rb'[{,]\s*"file"\s*:\s*"')
# No base64: `file` cannot be this by chance.
MARK = "(cut)"

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_ALPHABET + b"="))


class NotJson(ValueError):
    """The body is no JSON; the message says where."""


@dataclass(frozen=True, slots=True)
class Outline:
    """`fields`: JSON of the known fields alone, long values shortened, `file` as MARK where it is
    text. `text`: what stands between the quotes of `file`, a view into the body."""

    fields: bytes
    text: memoryview | None


def cut(body: bytes | bytearray) -> Outline | None:
    """The body without the text of its first `file`, or None where little is gained by it.

    What is left must still be validated. Only where `file` is MARK then was this the one, and only
    where the text is plain base64 does it end where it seemed to.
    """
    found = _FILE.search(body, 0, SMALL)
    if found is None:
        return None
    start = found.end()
    end = body.find(b'"', start)
    if end < 0 or start + len(body) - end > SMALL:
        return None
    with memoryview(body) as view:
        fields = b"".join((view[:start], MARK.encode(), view[end:]))
    return Outline(fields, memoryview(body)[start:end])


class Skimmer:
    """Outlines of JSON objects with these `names` (`file` among them) and any others."""

    def __init__(self, names: tuple[str, ...]) -> None:
        fields: list[Any] = [(name, msgspec.Raw, msgspec.Raw(b"")) for name in names]
        self._names = names
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Known", fields))

    def outline(self, body: Buffer) -> Outline:
        """Raises NotJson."""
        try:
            found = self._decoder.decode(body)
        except msgspec.ValidationError:  # JSON, but no object: as good as any other that is none
            return Outline(b"[]", None)
        except (msgspec.DecodeError, RecursionError) as error:
            raise NotJson(str(error)) from None
        text, parts = None, []
        for name in self._names:
            value = memoryview(getattr(found, name))
            if not value:
                continue
            if name == "file" and bytes(value[:1]) == b'"':
                text = value[1:-1]
                short = json.dumps(MARK).encode()
            else:
                short = bytes(value) if len(value) <= _LONGEST_VALUE else _like(value)
            parts.append(b'"%s":%s' % (name.encode(), short))
        return Outline(b"{%s}" % b",".join(parts), text)


def _like(value: memoryview) -> bytes:
    """A short value of the same kind: it is as wrong."""
    kinds = {b"[": b"[]", b"{": b"{}", b'"': b'"%s"' % (b"x" * _LONGEST_VALUE)}
    return kinds.get(bytes(value[:1]), b"1e999")  # so many digits are a number beyond all bounds


def plain_base64(text: Buffer) -> bytes | None:
    """The bytes of plain base64, or None where it is not plain: it may be base64 all the same."""
    try:
        return pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def url_in(text: memoryview) -> str | None:
    """What `file` says where it begins like a URL, and is no longer than one."""
    start = bytes(text[:8])
    if len(text) > _LONGEST_VALUE or not start.startswith((b"http://", b"https://")):
        return None
    try:
        url: str = json.loads(b'"%s"' % bytes(text))
    except ValueError:
        return None
    return url


def decoding(text: memoryview, write: Callable[[bytes], object]) -> Iterator[None]:
    """Decode the base64 of a JSON string in steps, as `base64.b64decode` would, PaddleX's choice:
    other characters are passed over, and it ends at the padding. Raises NotAnImage."""
    at, rest = 0, b""
    while at < len(text):
        end = _end_of_step(text, at)
        piece = rest + _unescaped(bytes(text[at:end]))
        at = end
        last = at == len(text)
        whole = len(piece) if last else len(piece) & ~3
        decoded = plain_base64(piece[:whole])
        if decoded is None:
            if not piece.isascii():
                raise _not_base64("it has characters beyond ASCII")
            piece = piece.translate(None, _NOT_BASE64)
            last = last or b"=" in piece
            whole = len(piece) if last else len(piece) & ~3
            try:
                decoded = pybase64.b64decode(piece[:whole])
            except (binascii.Error, ValueError) as error:
                raise _not_base64(str(error)) from None
        write(decoded)
        if last or piece[:whole].endswith(b"="):
            return
        rest = piece[whole:]
        yield


def _end_of_step(text: memoryview, at: int) -> int:
    """Where the next step ends: not within an escape (`\\n`, `\\u002b`)."""
    end = at + STEP
    if end >= len(text):
        return len(text)
    piece = bytes(text[at:end])
    backslash = piece.rfind(b"\\", len(piece) - 5)
    if backslash >= 0:
        before = piece[: backslash + 1]
        begins = (len(before) - len(before.rstrip(b"\\"))) % 2 == 1
        if begins:
            return at + backslash
    return end


def _unescaped(piece: bytes) -> bytes:
    if b"\\" not in piece:
        return piece
    try:
        text: str = json.loads(b'"%s"' % piece)
        return text.encode("ascii")
    except ValueError:
        raise _not_base64("it has characters beyond ASCII") from None


def _not_base64(why: str) -> NotAnImage:
    return NotAnImage(f"file is not base64: {why}", field="file")
