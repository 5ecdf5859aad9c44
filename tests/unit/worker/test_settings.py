"""Settings: defaults stand by themselves, and wrong values are told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ocrpool_worker.errors import SettingsError
from ocrpool_worker.settings import load_settings, settings_from


def test_nothing_at_all_is_a_whole_configuration() -> None:
    settings = settings_from(None)
    assert settings == settings_from({})
    assert settings.admission.max_pixels == 16_000_000
    assert (settings.http.port, settings.http.control_port) == (8080, 8081)


def test_names_are_camel_case_and_quantities_are_bytes() -> None:
    raw = {
        "admission": {"maxMegapixels": 4.5, "maxBody": "2Mi", "bodyMemory": 5000},
        "memory": {"reserve": "1.5Gi", "perInstance": "3Gi"},
        "instances": {"min": 2, "bootSeconds": 30},
    }
    settings = settings_from(raw)
    assert settings.admission.max_pixels == 4_500_000
    assert (settings.admission.max_body, settings.admission.body_memory) == (2 * 2**20, 5000)
    assert (settings.memory.reserve, settings.memory.per_instance) == (1610612736, 3 * 2**30)
    assert settings.instances.boot_seconds == 30


@pytest.mark.parametrize(
    ("raw", "parts"),
    [
        ({"colour": 1}, ["colour: no such setting"]),
        ({"http": {"prot": 80}}, ["http.prot: no such setting"]),
        ({"http": {"port": 70000}}, ["http.port:", "65535", "(got 70000)"]),
        ({"http": {"port": "web"}}, ["http.port:", "integer", "(got 'web')"]),
        ({"instances": {"min": -1}}, ["instances.min:", "(got -1)"]),
        ({"instances": {"min": 3, "max": 2}}, ["instances: min (3) is above max (2)"]),
        ({"instances": 3}, ["instances:", "(got 3)"]),
        ({"device": "tpu"}, ["device:", "(got 'tpu')"]),
        ({"admission": {"maxBody": "2 GB"}}, ["admission.maxBody:", "write for example 512Mi"]),
        ({"admission": {"maxBody": -1}}, ["admission.maxBody:", "negative"]),
        ({"admission": {"maxMegapixels": 0}}, ["admission.maxMegapixels:", "greater than 0"]),
        ({"admission": {"maxMegapixels": 301}}, ["admission.maxMegapixels:", "300"]),
        ({"admission": {"timeoutSeconds": 0}}, ["admission.timeoutSeconds:"]),
        ({"recycle": {"memoryGrowth": 0.9}}, ["recycle.memoryGrowth:", "must be above 1, or 0"]),
        ({"memory": {"perInstance": "lots"}}, ["memory.perInstance", "512Mi"]),
        ({"engine": {"options": []}}, ["engine.options:"]),
        ({"http": {"port": -1}, "device": "x"}, ["http.port:", "; ", "device:"]),
        (["device", "cpu"], ["expected a mapping, found list"]),
    ],
)
def test_a_wrong_value_is_one_line_with_path_value_and_advice(raw: Any, parts: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from(raw, origin="pool.yaml")
    message = str(caught.value)
    assert message.startswith("pool.yaml: ")
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_long_value_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as caught:
        settings_from({"device": "x" * 500})
    assert "xxxx" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [("a: [1", "not YAML"), ("- 1", "expected a mapping, found list"), ("\xff", "not YAML")],
)
def test_a_broken_file_is_one_line_with_its_name(tmp_path: Path, text: str, part: str) -> None:
    file = tmp_path / "pool.yaml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError) as caught:
        load_settings(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert part in message
    assert "\n" not in message


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_settings(tmp_path / "none.yaml")


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    file = tmp_path / "pool.yaml"
    file.write_text("# nothing\n")
    assert load_settings(file) == {}
