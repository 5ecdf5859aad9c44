"""The text of `file`: every spelling that clients send, in steps of any size."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import re
import time
from collections.abc import Callable
from urllib.parse import quote, unquote_to_bytes

import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.http import base64_text
from ocrpool_worker.http.base64_text import decode_in_steps


def decode_text(text: bytes) -> bytes | str:
    out = bytearray()
    try:
        for _ in decode_in_steps(memoryview(text), out.extend):
            pass
    except NotAnImage as error:
        return error.message
    return bytes(out)


ESCAPES = {"none": "", "slash": "/", "slash and plus": "/+", "padding": "=", "all": "/+="}


@pytest.mark.parametrize("escaped", ESCAPES.values(), ids=ESCAPES.keys())
@pytest.mark.parametrize("lines", [False, True])
@given(data=st.binary(max_size=300), step=st.integers(8, 64))
def test_base64_is_decoded_in_steps_of_any_size(
    data: bytes, step: int, escaped: str, lines: bool
) -> None:
    text = (base64.encodebytes(data) if lines else base64.b64encode(data)).decode()
    text = json.dumps(text)[1:-1]
    for number, character in enumerate(escaped):
        with_slash = character == "/" and number == 0
        text = text.replace(character, "\\/" if with_slash else f"\\u{ord(character):04x}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base64_text, "STEP", step)
        assert decode_text(text.encode()) == data


@given(st.text(alphabet="QUJD=+/-_ \n", max_size=24))
def test_other_texts_decode_like_base64_b64decode(text: str) -> None:
    """Except the URL-safe alphabet and missing padding, which `base64.b64decode` does not
    support."""
    kept = re.sub(r"[ \n]", "", text.replace("-", "+").replace("_", "/"))
    bare = kept.rstrip("=")
    if "=" not in bare:
        kept = bare + "=" * (-len(bare) % 4)
    try:
        expected: bytes | None = pybase64.b64decode(kept)
    except (binascii.Error, ValueError):
        expected = None
    found = decode_text(json.dumps(text)[1:-1].encode())
    if expected is None:
        assert isinstance(found, str)
        assert "not base64" in found
    else:
        assert found == expected


SPELLINGS = {
    "URL-safe": lambda data: base64.urlsafe_b64encode(data).decode(),
    "without padding": lambda data: base64.b64encode(data).decode().rstrip("="),
    "URL-safe without padding": lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
    "in lines": lambda data: base64.encodebytes(data).decode(),
    "in lines of Windows": lambda data: base64.encodebytes(data).decode().replace("\n", "\r\n"),
    "blanks around": lambda data: f" \t{base64.b64encode(data).decode()}\n",
    "data URL": lambda data: f"data:image/png;base64,{base64.b64encode(data).decode()}",
    "data URL in capitals": lambda data: f"DATA:;BASE64,{base64.b64encode(data).decode()}",
    "data URL with parameters": lambda data: (
        f"data:image/png;name=a%20b.png;charset=utf-8 ; Base64,{base64.b64encode(data).decode()}"
    ),
    "data URL, escaped": lambda data: (
        "data:image/png;base64," + quote(base64.b64encode(data).decode(), safe="")
    ),
    "data URL, URL-safe": lambda data: (
        f"data:;base64,{base64.urlsafe_b64encode(data).decode().rstrip('=')}"
    ),
    "data URL without base64": lambda data: "data:application/pdf," + quote(data),
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS.keys())
@pytest.mark.parametrize("escaped", ["", "/", "%+"])
@given(data=st.binary(max_size=300), step=st.integers(8, 64))
def test_every_spelling_of_base64_is_decoded(
    spell: Callable[[bytes], str], data: bytes, step: int, escaped: str
) -> None:
    text = json.dumps(spell(data))[1:-1]
    for character in escaped:
        text = text.replace(character, f"\\u{ord(character):04x}" if character != "/" else "\\/")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base64_text, "STEP", step)
        assert decode_text(text.encode()) == data


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("data:image/png;base64", "a data URL without a comma"),
        ("data:image/png;base64,Q", "not base64"),
        ("QUJDQ", "not base64"),
        ("päge", "beyond ASCII"),
        ("scans/page 1.png", "looks like the name of a file"),
        ("C:\\scans\\a.jpeg", "looks like the name of a file"),
        ("file:///scans/ä.pdf", "looks like the name of a file"),
    ],
)
def test_an_invalid_text_is_refused_with_the_reason(text: str, why: str) -> None:
    said = decode_text(json.dumps(text)[1:-1].encode())
    assert isinstance(said, str)
    assert why in said


ALL_ESCAPED = {
    "numbers": b"%41" * 400_000,
    "signs alone": b"%" * 1_200_000,
    "signs in JSON": b"\\u0025" * 200_000,
    "bytes": b"%Fx" * 400_000,
}


@pytest.mark.parametrize("data", ALL_ESCAPED.values(), ids=ALL_ESCAPED.keys())
@pytest.mark.parametrize("head", [b"data:,", b"data:;base64,"])
def test_no_step_takes_longer_than_its_bound(head: bytes, data: bytes) -> None:
    """During a step the event loop is blocked."""

    def longest() -> float:
        steps = decode_in_steps(memoryview(head + data), len)
        took, began = [0.0], time.thread_time()
        with contextlib.suppress(NotAnImage):
            for _ in steps:
                took.append(time.thread_time() - began)
                began = time.thread_time()
        return max(*took, time.thread_time() - began)

    assert min(longest() for _ in range(2)) < 0.1


@given(st.text(alphabet="%%%4aFx1é", max_size=40), st.integers(8, 16))
def test_percent_escapes_decode_like_unquote_to_bytes(text: str, step: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base64_text, "PERCENT_STEP", step)
        assert decode_text(b"data:," + text.encode()) == unquote_to_bytes(text)
