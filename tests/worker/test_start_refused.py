"""A worker that cannot start says why in one line, and exits with a status."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.worker.harness import launch

SETTINGS, MODELS, BOOT = 2, 3, 4


def refusal(
    tmp_path: Path, *arguments: str, status: int, seconds: float = 60, **settings: Any
) -> str:
    """Start a worker that must end by itself; returns its only line that is no log record."""
    worker = launch(tmp_path, *arguments, settings=settings)
    try:
        assert worker.ended(seconds=seconds) == status, worker.log_tail()
        lines = worker.log_file.read_text(encoding="utf-8").splitlines()
        plain = [line for line in lines if not line.startswith("{")]
        assert len(plain) == 1, "\n".join(lines)
        assert plain[0].startswith("ocrpool-worker: ")
        for line in lines:
            assert "Traceback" not in line
            if line.startswith("{"):
                assert {"time", "level", "event"} <= set(json.loads(line))
        worker.no_instance_left(seconds=5)
        return plain[0]
    finally:
        worker.clean_up()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "http.prot=1"], ["http.prot: no such setting"]),
        (["--set", "admission.maxBody=2 GB"], ["admission.maxBody", "512Mi"]),
        (["--set", "nonsense"], ["--set nonsense: write PATH=VALUE"]),
        (["--set", "device.name=x", "--device", "cpu"], ["device"]),
        (["--instances", "9"], ["--instances 9", "0 to 4 (instances.max)"]),
        (["--device", "tpu"], ["device", "'tpu'"]),
        (["--set", "engine.name=nonsense"], ["no engine 'nonsense'", "paddleocr"]),
        (["--set", "engine.name=nonsense:Engine"], ["'nonsense:Engine' cannot be loaded"]),
        (["--set", "engine.name=json:loads"], ["is not an engine"]),
    ],
)
def test_wrong_settings(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    line = refusal(tmp_path, *arguments, status=SETTINGS)
    for word in words:
        assert word in line


@pytest.mark.parametrize("option", ["--port", "--control-port"])
def test_a_port_in_use(tmp_path: Path, option: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = refusal(tmp_path, option, str(port), status=SETTINGS)
    setting = {"--port": "http.port", "--control-port": "http.controlPort"}[option]
    assert f"{setting}: 127.0.0.1:{port} is in use" in line
    assert "choose another port" in line


def test_an_address_that_is_not_ours(tmp_path: Path) -> None:
    line = refusal(tmp_path, "--host", "192.0.2.1", status=SETTINGS)
    assert "cannot listen on 192.0.2.1" in line


def test_no_models(tmp_path: Path) -> None:
    line = refusal(tmp_path, "--set", "engine.name=paddleocr", status=MODELS)
    assert "ModelMissing" in line
    assert "ocrpool-worker models stage" in line


def test_an_option_that_paddleocr_does_not_know(tmp_path: Path, models: Path) -> None:
    engine = {"name": "paddleocr", "options": {"nonsense": 1}}
    line = refusal(tmp_path, "--models", str(models), status=BOOT, seconds=110, engine=engine)
    assert "nonsense" in line
