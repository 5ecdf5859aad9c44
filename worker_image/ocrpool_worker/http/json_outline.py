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

# JSON that is validated as it is; what a validator builds of it is up to 20 times as large.
SMALL = 64 * 1024
# A value that is longer than this is right for no parameter.
LONGEST_VALUE = 16 * 1024
_FILE = re.compile(rb'[{,]\s*"file"\s*:\s*"')
# No base64: `file` cannot be this by chance.
MARK = "(cut)"


class NotJson(ValueError):
    """The body is no JSON; the message says where."""


@dataclass(frozen=True, slots=True)
class Outline:
    """`fields`: JSON of the known fields alone, long values shortened, `file` as MARK where it is
    text. `text`: what stands between the quotes of `file`, a view into the body."""

    fields: bytes
    text: memoryview | None


def cut_out_file(body: bytes | bytearray) -> Outline | None:
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
                short = bytes(value) if len(value) <= LONGEST_VALUE else _like(value)
            parts.append(b'"%s":%s' % (name.encode(), short))
        return Outline(b"{%s}" % b",".join(parts), text)


def _like(value: memoryview) -> bytes:
    """A short value of the same kind: it is as wrong."""
    kinds = {b"[": b"[]", b"{": b"{}", b'"': b'"%s"' % (b"x" * LONGEST_VALUE)}
    return kinds.get(bytes(value[:1]), b"1e999")  # so many digits are a number beyond all bounds
