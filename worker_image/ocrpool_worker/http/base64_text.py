"""What the text of `file` stands for: base64 in any of its spellings, a data URL, or a URL.

Most clients send plain base64. Others send what their library gives them: base64 in lines, in the
URL-safe alphabet (RFC 4648, section 5) or without its padding, or a data URL (RFC 2397), as
browsers do. A text may be as large as a body, so all is decoded in steps.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable, Iterator

import pybase64

from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.http.json_outline import LONGEST_VALUE

# Base64 is decoded in steps of so many characters, a millisecond or two each.
STEP = 1 << 20
# Data URLs in smaller ones: where all of it is escaped, Python handles every character (10 ms).
PERCENT_STEP = 64 << 10

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_ALPHABET + b"=-_"))
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
# The longest head of a data URL: a type and its parameters.
_LONGEST_HEAD = 1024
_BYTES = [bytes([value]) for value in range(256)]
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_PATH = re.compile(r"[^,;\n]+\.[A-Za-z0-9]{2,5}")
_LONGEST_PATH = 400


def decode_plain_base64(text: bytes | memoryview) -> bytes | None:
    """The bytes of plain base64, or None where it is not plain: it may be base64 all the same."""
    try:
        return pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def http_url_in(text: memoryview) -> str | None:
    """What `file` says where it begins like a URL, and is no longer than one."""
    start = bytes(text[:8])
    if len(text) > LONGEST_VALUE or not start.startswith((b"http://", b"https://")):
        return None
    try:
        url: str = json.loads(b'"%s"' % bytes(text))
    except ValueError:
        return None
    return url


def parse_data_url(text: memoryview) -> tuple[int, bool] | None:
    """(where the data of a data URL begins, whether it is base64); None where `text`, the inside of
    a JSON string, is none. Raises NotAnImage for one without data."""
    if bytes(text[:5]).lower() != b"data:":
        return None
    head, comma, _ = bytes(text[:_LONGEST_HEAD]).partition(b",")
    if not comma:
        raise NotAnImage(
            "file is a data URL without a comma; it should be data:TYPE;base64,DATA", field="file"
        )
    parameters = _unquoted(_unescaped(head)).lower().split(b";")
    return len(head) + 1, b"base64" in [one.strip() for one in parameters[1:]]


def max_decoded_size(text: memoryview) -> int:
    """How many bytes `decoding` may write. Raises NotAnImage."""
    url = parse_data_url(text)
    return len(text) if url is not None and not url[1] else len(text) * 3 // 4


def decode_in_steps(text: memoryview, write: Callable[[bytes], object]) -> Iterator[None]:
    """Decode what a JSON string has between its quotes, in steps. Raises NotAnImage.

    Like `base64.b64decode`, PaddleX's choice, it passes over other characters and ends at the
    padding.
    """
    url = parse_data_url(text)
    if url is None:
        _check_no_path(text)
    start, coded = url or (0, True)
    rest = b""
    for piece, last in _pieces(text[start:], percent=url is not None):
        if not coded:
            write(piece)
            yield
            continue
        piece = rest + piece
        whole = len(piece) if last else len(piece) & ~3
        found = decode_plain_base64(piece[:whole])
        if found is None:
            if not piece.isascii():
                raise _not_base64("it has characters beyond ASCII")
            piece = piece.translate(_FROM_URL_SAFE, _NOT_BASE64)
            last = last or b"=" in piece
            whole = len(piece) if last else len(piece) & ~3
            found = _last(piece) if last else pybase64.b64decode(piece[:whole])
        write(found)
        if last or piece[:whole].endswith(b"="):
            return
        rest = piece[whole:]
        yield


def decode_text(text: str) -> bytes:
    """The same of a short text, at once. Raises NotAnImage."""
    out = bytearray()
    for _ in decode_in_steps(memoryview(json.dumps(text)[1:-1].encode()), out.extend):
        pass
    return bytes(out)


def _last(piece: bytes) -> bytes:
    """The end of base64, whose padding may be missing."""
    bare = piece.rstrip(b"=")
    if b"=" not in bare:
        piece = bare + b"=" * (-len(bare) % 4)
    try:
        return pybase64.b64decode(piece)
    except (binascii.Error, ValueError) as error:
        raise _not_base64(str(error)) from None


def _pieces(text: memoryview, *, percent: bool) -> Iterator[tuple[bytes, bool]]:
    """A JSON string in steps, without its escapes and (`percent`) those of a URL; and whether each
    is the last."""
    at, rest = 0, b""
    while at < len(text):
        end = _end_of_step(text, at, min(STEP, PERCENT_STEP) if percent else STEP)
        piece = rest + _unescaped(bytes(text[at:end]))
        at, rest = end, b""
        if percent:
            sign = piece.rfind(b"%", max(0, len(piece) - 2)) if at < len(text) else -1
            if sign >= 0:  # three characters such as `%2B`, of which the last are still to come
                piece, rest = piece[:sign], piece[sign:]
            piece = _unquoted(piece)
        yield piece, at == len(text)


def _unquoted(piece: bytes) -> bytes:
    """As `unquote_to_bytes` does it, which takes ten times as long for signs without a number."""
    return _PERCENT.sub(lambda found: _BYTES[int(found[1], 16)], piece)


def _end_of_step(text: memoryview, at: int, step: int) -> int:
    """Where the next step ends: not within an escape (`\\n`, `\\u002b`)."""
    end = at + step
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
        return text.encode()
    except ValueError:
        raise _not_base64("it has characters beyond Unicode") from None


def _check_no_path(text: memoryview) -> None:
    """Raises NotAnImage where `text` looks like a name: base64 has no full stop."""
    if len(text) > _LONGEST_PATH or b"." not in bytes(text):
        return
    said = _unescaped(bytes(text)).decode("utf-8", "replace")
    if _PATH.fullmatch(said):
        raise NotAnImage(
            f"file is base64, a data URL or a URL, and {said[:100]!r} looks like the name of a "
            "file; send what is in it, as base64",
            field="file",
        )


def _not_base64(why: str) -> NotAnImage:
    return NotAnImage(f"file is not base64: {why}", field="file")
