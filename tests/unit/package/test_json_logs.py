"""Logs: one JSON object a line, whatever is logged."""

from __future__ import annotations

import errno
import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from ocrpool import json_logs
from ocrpool_operator import logs as operator_logs
from ocrpool_worker import logs


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """The process' own logging is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {
        name: logging.getLogger(name).level
        for name in ("asyncio", "aiohttp", "aiohttp.access", "kopf", "PIL")
    }
    raises = logging.raiseExceptions
    root.handlers = []
    yield
    logging.raiseExceptions = raises
    root.handlers = handlers
    root.setLevel(level)
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)


def test_a_record_is_time_level_event_and_extras(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info")
    logging.getLogger("x").info("page %d read", 7, extra={"instance": "i1", "seconds": 0.5})
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    when = datetime.fromisoformat(found.pop("time"))
    assert when.utcoffset() == timedelta(0)
    assert found == {"level": "info", "event": "page 7 read", "instance": "i1", "seconds": 0.5}


def test_an_exception_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info")
    try:
        raise ValueError("odd\nvalue")
    except ValueError:
        logging.getLogger("x").exception("failed\nbadly")
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert found["event"] == "failed\nbadly"
    assert "ValueError: odd\nvalue" in found["traceback"]


def test_what_json_does_not_know_is_written_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info")
    logging.getLogger("x").info(
        "文字",
        extra={
            "what": {
                1,
            },
            "bytes": b"\xff",
            "sign": "\u2028",
        },
    )
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert json.loads(text)["what"] == "{1}"
    assert "文字" in text


def test_a_lone_surrogate_does_not_break_its_line() -> None:
    """Instances' last words and request paths can hold any bytes; stderr escapes them."""
    record = logging.makeLogRecord({"msg": "path \udcff", "levelname": "INFO"})
    line = json_logs.JsonFormatter().format(record).encode("utf-8", "backslashreplace")
    assert json.loads(line)["event"] == "path \udcff"


def test_the_level_counts(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("warning")
    logging.getLogger("x").info("not this")
    logging.getLogger("x").warning("this")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["this"]


def test_a_line_for_which_there_is_no_room_is_lost_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    logs.set_up("info")
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(Full())
    logging.getLogger("disk").info("lost")
    assert capsys.readouterr().err == ""


def test_operator_and_worker_write_one_format(capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for module in (logs, operator_logs):
        module.set_up("info")
        try:
            raise ValueError("odd")
        except ValueError:
            logging.getLogger("x").exception("failed", extra={"pool": "a/b", "reason": "Odd"})
        lines.append(json.loads(capsys.readouterr().err))
    assert lines[0].keys() == lines[1].keys() >= {"time", "pool", "reason", "traceback"}
    assert [line["time"][-1] for line in lines] == ["Z", "Z"]


def test_the_operator_leaves_out_objects_that_kopf_attaches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    operator_logs.set_up("info")
    logging.getLogger("x").info("round", extra={"pool": "a/b", "settings": object()})
    assert json.loads(capsys.readouterr().err).keys() == {"time", "level", "event", "pool"}
