"""Decode the text of `file`: base64 in any of its spellings, a data URL, or a URL.

Most clients send plain base64. Others send what their library produces: base64 with line breaks, in
the URL-safe alphabet (RFC 4648, section 5), without its padding, or as a data URL (RFC 2397), as
browsers do. A text can be as large as a body, so it is decoded in steps.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Callable, Iterator

import pybase64

from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.http.json_outline import LONGEST_VALUE

# Characters of base64 that are decoded in one step, which takes a millisecond or two.
STEP = 1 << 20
# Characters of a percent-encoded data URL in one step. Python handles every escape (10 ms a step).
PERCENT_STEP = 64 << 10

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_ALPHABET + b"=-_"))
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
# The longest head of a data URL, which is a type and its parameters.
_LONGEST_HEAD = 1024
_BYTES = [bytes([value]) for value in range(256)]
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_PATH = re.compile(r"[^,;\n]+\.[A-Za-z0-9]{2,5}")
_LONGEST_PATH = 400


def decode_plain_base64(text: bytes | memoryview) -> bytes | None:
    """Decode plain base64. None for any other text, which may still be base64 in another
    spelling."""
    try:
        return pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def http_url_in(text: memoryview) -> str | None:
    """Return the URL if `file` begins like one and is not longer than a URL can be."""
    start = bytes(text[:8])
    if len(text) > LONGEST_VALUE or not start.startswith((b"http://", b"https://")):
        return None
    try:
        url: str = json.loads(b'"%s"' % bytes(text))
    except ValueError:
        return None
    return url


def parse_data_url(text: memoryview) -> tuple[int, bool] | None:
    """Return (offset of the data, whether it is base64) of a data URL; None for any other text.

    `text` is the inside of a JSON string. Raises NotAnImage for a data URL without data.
    """
    if bytes(text[:5]).lower() != b"data:":
        return None
    head, comma, _ = bytes(text[:_LONGEST_HEAD]).partition(b",")
    if not comma:
        raise NotAnImage(
            "file is a data URL without a comma; send data:TYPE;base64,DATA", field="file"
        )
    parameters = _unquoted(_unescaped(head)).lower().split(b";")
    return len(head) + 1, b"base64" in [one.strip() for one in parameters[1:]]


def max_decoded_size(text: memoryview) -> int:
    """The most bytes that `decode_in_steps` can write for this text. Raises NotAnImage."""
    url = parse_data_url(text)
    return len(text) if url is not None and not url[1] else len(text) * 3 // 4


def decode_in_steps(text: memoryview, write: Callable[[bytes], object]) -> Iterator[None]:
    """Decode the inside of a JSON string in steps, and pass each piece to `write`.

    It skips other characters and ends at the padding, as `base64.b64decode` does, which PaddleX
    uses. Raises NotAnImage.
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
    """Decode a short text at once, in the same way. Raises NotAnImage."""
    out = bytearray()
    for _ in decode_in_steps(memoryview(json.dumps(text)[1:-1].encode()), out.extend):
        pass
    return bytes(out)


def _last(piece: bytes) -> bytes:
    """Decode the end of a base64 text, whose padding may be missing."""
    bare = piece.rstrip(b"=")
    if b"=" not in bare:
        piece = bare + b"=" * (-len(bare) % 4)
    try:
        return pybase64.b64decode(piece)
    except (binascii.Error, ValueError) as error:
        raise _not_base64(str(error)) from None


def _pieces(text: memoryview, *, percent: bool) -> Iterator[tuple[bytes, bool]]:
    """Split a JSON string into (piece, whether it is the last). JSON escapes are resolved, and with
    `percent` those of a URL too."""
    at, rest = 0, b""
    while at < len(text):
        end = _end_of_step(text, at, min(STEP, PERCENT_STEP) if percent else STEP)
        piece = rest + _unescaped(bytes(text[at:end]))
        at, rest = end, b""
        if percent:
            sign = piece.rfind(b"%", max(0, len(piece) - 2)) if at < len(text) else -1
            if sign >= 0:  # an escape such as `%2B` that continues in the next step
                piece, rest = piece[:sign], piece[sign:]
            piece = _unquoted(piece)
        yield piece, at == len(text)


def _unquoted(piece: bytes) -> bytes:
    """Resolve percent escapes as `unquote_to_bytes` does. That one takes ten times as long where
    `%` is not followed by a number."""
    return _PERCENT.sub(lambda found: _BYTES[int(found[1], 16)], piece)


def _end_of_step(text: memoryview, at: int, step: int) -> int:
    """The offset at which the next step ends. It is never inside an escape (`\\n`, `\\u002b`)."""
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
        raise _not_base64("it has escapes that are not valid Unicode") from None


def _check_no_path(text: memoryview) -> None:
    """Raise NotAnImage if `text` looks like a file name. Base64 never contains a full stop."""
    if len(text) > _LONGEST_PATH or b"." not in bytes(text):
        return
    name = _unescaped(bytes(text)).decode("utf-8", "replace")
    if _PATH.fullmatch(name):
        raise NotAnImage(
            f"file must be base64, a data URL or a URL, and {name[:100]!r} looks like the name of "
            "a file; send the contents of the file as base64",
            field="file",
        )


def _not_base64(why: str) -> NotAnImage:
    return NotAnImage(f"file is not base64: {why}", field="file")
