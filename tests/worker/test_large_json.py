"""JSON of any shape neither blocks the event loop nor needs more than twice its size in memory."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator

import pytest

from tests.fake_engine import order_png
from tests.worker.calls import call
from tests.worker.client import Answer
from tests.worker.harness import Worker, start_worker
from tests.worker.loop_probe import peak_growth, probing

MIB = 2**20
SIZE = 40 * MIB
# The longest step takes half as long; a probe may wait for two or three.
LONGEST_CPU_SECONDS = 0.25
# Memory of the interpreter, independent of the size of a body.
SLACK = 12 * MIB


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    with start_worker(tmp_path_factory.mktemp("worker")) as worker:
        # The first request loads modules that all requests need.
        assert post(worker, b'{"file":"%s"}' % base64.b64encode(order_png(say="x"))).status == 200
        yield worker


def post(worker: Worker, body: bytes) -> Answer:
    return call(worker.port, "POST", "/ocr", body, timeout=110)


def file(data: bytes | None = None) -> bytes:
    return b'"file":"' + base64.b64encode(data or order_png(say="read")) + b'"'


def with_unknown(value: bytes) -> bytes:
    return b'{"logId":"mine","unknown":' + value + b',"visualize":false,' + file() + b"}"


READ: dict[str, Callable[[], bytes]] = {
    "a list": lambda: with_unknown(b"[" + b"0," * (SIZE // 2) + b"0]"),
    "lists in a list": lambda: with_unknown(b"[" + b"[],[[]]," * (SIZE // 8) + b"0]"),
    "a text": lambda: with_unknown(b'"' + b"\\n" * (SIZE // 2) + b'"'),
    "many fields": lambda: (
        b'{"logId":"mine","visualize":false,' + b'"n":{"a":0},' * (SIZE // 12) + file() + b"}"
    ),
    "a list of medium size": lambda: with_unknown(b"[" + b"{}," * (5 * MIB) + b"0]"),
}


@pytest.mark.parametrize("make", READ.values(), ids=READ.keys())
def test_unknown_fields_are_skipped(worker: Worker, make: Callable[[], bytes]) -> None:
    body = make()
    with probing(worker) as probe, peak_growth(worker) as growth:
        answer = post(worker, body)
    assert answer.status == 200, answer
    (page,) = answer.json["result"]["ocrResults"]
    assert page["prunedResult"]["rec_texts"][0] == "read"
    assert answer.json["logId"] == "mine"
    assert probe.longest < LONGEST_CPU_SECONDS
    assert growth["bytes"] < 2 * len(body) + SLACK


def large_png() -> bytes:
    """A small page with many bytes after its end, which decoders ignore."""
    return order_png(say="read") + os.urandom(SIZE * 3 // 4)


def lines_of(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\\n")


FILES: dict[str, Callable[[], bytes]] = {
    "plain": lambda: base64.b64encode(large_png()),
    "in lines": lambda: lines_of(large_png()),
    "escaped": lambda: (
        base64.b64encode(large_png()).replace(b"/", b"\\/").replace(b"+", b"\\u002B")
    ),
    "of medium size, in lines": lambda: lines_of(order_png(say="read") + os.urandom(8 * MIB)),
    "of medium size, all of it escaped": lambda: (
        b"data:,%" + (order_png(say="read") + os.urandom(2 * MIB)).hex("%").encode()
    ),
}


@pytest.mark.parametrize("make", FILES.values(), ids=FILES.keys())
def test_a_large_file_is_decoded_in_steps(worker: Worker, make: Callable[[], bytes]) -> None:
    body = b'{"visualize":false,"file":"' + make() + b'"}'
    with probing(worker) as probe, peak_growth(worker) as growth:
        answer = post(worker, body)
    assert answer.status == 200, answer
    (page,) = answer.json["result"]["ocrResults"]
    assert page["prunedResult"]["rec_texts"][0] == "read"
    assert probe.longest < LONGEST_CPU_SECONDS
    assert growth["bytes"] < 2 * len(body) + SLACK


WRONG: dict[str, tuple[Callable[[], bytes], str]] = {
    "file is a list": (lambda: b'{"file":[' + b"0," * (SIZE // 2) + b"0]}", "body.file"),
    "a parameter is a list": (
        lambda: b'{"textDetThresh":[' + b"[]," * (SIZE // 3) + b"0]," + file() + b"}",
        "body.textDetThresh",
    ),
    "a parameter is a long number": (
        lambda: b'{"textDetThresh":' + b"1" * SIZE + b"," + file() + b"}",
        "body.textDetThresh",
    ),
    "logId is long": (lambda: b'{"logId":"' + b"x" * SIZE + b'",' + file() + b"}", "body.logId"),
    "no object": (lambda: b"[" + b"0," * (SIZE // 2) + b"0]", "body"),
    "no JSON": (lambda: b'{"file":[' + b"0," * (SIZE // 2) + b"0}", "body"),
    "deep": (lambda: b'{"unknown":' + b"[" * SIZE, "body"),
}


@pytest.mark.parametrize(("make", "field"), WRONG.values(), ids=WRONG.keys())
def test_an_invalid_field_is_named_without_extra_memory(
    worker: Worker, make: Callable[[], bytes], field: str
) -> None:
    body = make()
    with probing(worker) as probe, peak_growth(worker) as growth:
        answer = post(worker, body)
    assert answer.status == 422, answer
    assert [one["loc"] for one in json.loads(answer.json["errorMsg"])] == [field]
    assert probe.longest < LONGEST_CPU_SECONDS
    assert growth["bytes"] < 2 * len(body) + SLACK


def test_a_large_body_without_json_reaches_an_instance_in_steps(worker: Worker) -> None:
    with probing(worker) as probe:
        answer = call(worker.port, "POST", "/v1/ocr", large_png() * 3, timeout=110)
    assert answer.text == "read"
    assert probe.longest < LONGEST_CPU_SECONDS
