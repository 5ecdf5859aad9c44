"""Cut or skimmed JSON gives the same request as parsing the whole."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrpool_worker.http.json_outline import MARK, NotJson, Skimmer, cut_out_file
from ocrpool_worker.http.params import OcrRequest

SKIMMER = Skimmer(("file", "fileType", "logId"))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(0, 1) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
# Names and values that a plain search for `file` would mistake for it.
FALSE_FRIENDS = st.sampled_from(["file", 'x"file', "\\", '"file":"', '{"file":"QQ=="}', ',"file":'])
REQUESTS = st.dictionaries(
    FALSE_FRIENDS | st.sampled_from(["fileType", "logId", "other"]),
    FALSE_FRIENDS | JSON | st.dictionaries(FALSE_FRIENDS, FALSE_FRIENDS, max_size=2),
    max_size=6,
)


@given(REQUESTS, st.booleans())
def test_a_skimmed_request_has_the_known_fields_of_the_whole(
    request: dict[str, object], ascii_only: bool
) -> None:
    body = json.dumps(request, ensure_ascii=ascii_only).encode()
    found = SKIMMER.outline(body)
    fields = json.loads(found.fields)
    known = {name: request[name] for name in ("file", "fileType", "logId") if name in request}
    if isinstance(request.get("file"), str):
        known["file"] = MARK
        assert found.text is not None
        assert json.loads(b'"%s"' % bytes(found.text)) == request["file"]
    assert fields == known


@given(REQUESTS, st.binary(max_size=40))
def test_a_valid_cut_is_the_text_of_file(request: dict[str, object], data: bytes) -> None:
    """The text is the request's own file only if the rest has MARK as `file`."""
    body = json.dumps({**request, "file": base64.b64encode(data).decode()}).encode()
    found = cut_out_file(body)
    if found is None or found.text is None:
        return
    try:
        left = json.loads(found.fields)
    except ValueError:  # it went through the middle of something else
        return
    if left["file"] == MARK:
        assert base64.b64decode(bytes(found.text), validate=True) == data


def test_most_requests_can_be_cut() -> None:
    body = b'{"fileType": 1, "file": "QUJD", "visualize": false}'
    found = cut_out_file(body)
    assert found is not None
    assert found.text is not None
    assert bytes(found.text) == b"QUJD"
    assert OcrRequest.model_validate_json(found.fields).file == MARK


@pytest.mark.parametrize(
    "body", [b"{", b"", b'{"a":01}', b'{"a":}', b"\xff", b'{"a":' + b"[" * 100_000]
)
def test_invalid_json_is_reported(body: bytes) -> None:
    with pytest.raises(NotJson):
        SKIMMER.outline(body)
