"""Extract from the JSON of `POST /ocr` what is needed, without building the rest.

Three cases, by content. Nearly all bodies hold plain base64 in `file` and little else: such a body
is parsed around that text (`cut_out_file`). Any other body is skimmed by a C parser, which checks
the syntax and builds nothing (`Skimmer.outline`). Skimming takes up to 5 ms a megabyte with the
interpreter locked, so a large body is skimmed in its own process (`http.json_skim`): the event loop
is not blocked.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from ocrpool_worker.ipc.shared_buffer import Buffer

# JSON up to this size is validated as it is. A validator builds objects of up to 20 times its size.
SMALL = 64 * 1024
# A longer value is not valid for any parameter.
LONGEST_VALUE = 16 * 1024
_FILE = re.compile(rb'[{,]\s*"file"\s*:\s*"')
# Replaces the text of `file`. It is not base64, so no client sends it by chance.
MARK = "(cut)"


class NotJson(ValueError):
    """The body is not JSON; the message says where it is wrong."""


@dataclass(frozen=True, slots=True)
class Outline:
    """`fields`: JSON of the known fields only, with long values shortened, and MARK for the text of
    `file`. `text`: the text between the quotes of `file`, as a view into the body."""

    fields: bytes
    text: memoryview | None


def cut_out_file(body: bytes | bytearray) -> Outline | None:
    """Cut the text of the first `file` out of the body; None if too little of the body is that
    text.

    The rest must still be validated. The cut was right only if `file` is MARK after that, and if
    the text is plain base64, because only then does it end at the first quote.
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
    """Makes outlines of JSON objects that have fields of these `names` (`file` is one) and
    others."""

    def __init__(self, names: tuple[str, ...]) -> None:
        fields: list[Any] = [(name, msgspec.Raw, msgspec.Raw(b"")) for name in names]
        self._names = names
        self._decoder = msgspec.json.Decoder(msgspec.defstruct("Known", fields))

    def outline(self, body: Buffer) -> Outline:
        """Raises NotJson."""
        try:
            found = self._decoder.decode(body)
        except msgspec.ValidationError:  # JSON, but not an object: validation refuses any array
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
                short = bytes(value) if len(value) <= LONGEST_VALUE else _like(value)
            parts.append(b'"%s":%s' % (name.encode(), short))
        return Outline(b"{%s}" % b",".join(parts), text)


def _like(value: memoryview) -> bytes:
    """A short value of the same kind, which is invalid for the same reason."""
    kinds = {b"[": b"[]", b"{": b"{}", b'"': b'"%s"' % (b"x" * LONGEST_VALUE)}
    return kinds.get(bytes(value[:1]), b"1e999")  # a number of so many digits is out of any range
