"""Staged folders: verification, roles of models, and the two commands."""

from __future__ import annotations

import argparse
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ocrpool_worker.errors import ModelError
from ocrpool_worker.models import manifest
from ocrpool_worker.models.commands import add_commands
from ocrpool_worker.models.roles import role_of
from ocrpool_worker.models.sources import FolderSource
from ocrpool_worker.models.stage import stage
from tests.unit.worker.fake_models import DET, REC, make_models


@pytest.fixture
def source(tmp_path: Path) -> FolderSource:
    return FolderSource(make_models(tmp_path / "source"))


@pytest.fixture
def staged(tmp_path: Path, source: FolderSource) -> Path:
    return stage(source, tmp_path / "staged").folder


def refusal(folder: Path, reason: str) -> str:
    """The one-line message with which `folder` is refused."""
    with pytest.raises(ModelError) as caught:
        manifest.verify(folder)
    message = str(caught.value)
    assert caught.value.reason == reason
    assert message.isprintable()
    assert "ocrpool-worker models stage --source" in message
    return message


def rewrite(folder: Path, change: Callable[[dict], None]) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    change(content)
    (folder / "manifest.json").write_text(json.dumps(content))


# --- verify ---


def test_staged_folder_verifies_and_gives_a_folder_per_role(staged: Path) -> None:
    assert manifest.verify(staged) == {
        "text_detection": staged / DET,
        "text_recognition": staged / REC,
    }


def test_staged_files_are_readable_by_every_user(tmp_path: Path, source: FolderSource) -> None:
    old = os.umask(0o077)
    try:
        folder = stage(source, tmp_path / "staged").folder
    finally:
        os.umask(old)
    for path in [folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


def test_one_changed_byte_is_corrupt_and_the_file_is_named(staged: Path) -> None:
    file = staged / REC / "inference.pdiparams"
    content = bytearray(file.read_bytes())
    content[17] ^= 1
    file.write_bytes(content)
    message = refusal(staged, "ModelCorrupt")
    assert message.startswith(f"{file}: expected sha256 ")
    assert ", found " in message


def test_truncated_file_is_corrupt_with_both_sizes(staged: Path) -> None:
    file = staged / DET / "inference.pdiparams"
    size = file.stat().st_size
    os.truncate(file, 3)
    message = refusal(staged, "ModelCorrupt")
    assert message.startswith(f"{file}: expected {size} bytes, found 3")


def test_missing_file_manifest_and_folder_are_missing(staged: Path, tmp_path: Path) -> None:
    file = staged / DET / "inference.json"
    file.unlink()
    assert refusal(staged, "ModelMissing").startswith(f"{file}: listed")
    (staged / "manifest.json").unlink()
    assert "no manifest.json" in refusal(staged, "ModelMissing")
    assert "found nothing" in refusal(tmp_path / "nowhere", "ModelMissing")
    assert "found a file" in refusal(staged / DET / "inference.yml", "ModelMissing")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"schema": 2}', b"[" * 100_000, b" " * (2**20 + 1)],
    ids=["empty", "cut", "list", "binary", "other-schema", "deep", "huge"],
)
def test_unreadable_manifest_is_corrupt(staged: Path, content: bytes) -> None:
    (staged / "manifest.json").write_bytes(content)
    assert "manifest.json: " in refusal(staged, "ModelCorrupt")


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", f"{DET}/../../secret", "a\0b", "", ".", "a//b"]
)
def test_manifest_cannot_name_a_file_outside(staged: Path, path: str) -> None:
    (staged.parent / "secret").write_bytes(b"x")
    rewrite(staged, lambda it: it["files"].update({path: {"sha256": "0" * 64, "size": 1}}))
    assert "is not inside the folder" in refusal(staged, "ModelCorrupt")


@pytest.mark.parametrize("name", ["..", "../other", "/tmp", f"{DET}/deeper", "Elsewhere"])
def test_manifest_cannot_name_a_model_outside(staged: Path, name: str) -> None:
    rewrite(staged, lambda it: it["models"].update(text_detection=name))
    refusal(staged, "ModelCorrupt")


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(models={}),
        lambda it: it["models"].update(text_translation=DET),
        lambda it: it["files"][f"{DET}/inference.yml"].update(size="903"),
        lambda it: it["files"][f"{DET}/inference.yml"].update(size=-1),
        lambda it: it["files"][f"{DET}/inference.yml"].update(sha256="abc"),
        lambda it: it.pop("files"),
    ],
    ids=["no-model", "unknown-role", "text-size", "negative-size", "short-digest", "no-files"],
)
def test_manifest_of_the_wrong_form_is_corrupt(
    staged: Path, change: Callable[[dict], None]
) -> None:
    rewrite(staged, change)
    refusal(staged, "ModelCorrupt")


def test_link_that_leads_out_is_corrupt(staged: Path) -> None:
    file = staged / DET / "inference.yml"
    outside = staged.parent / "outside.yml"
    outside.write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(outside)
    assert "leads out of the folder" in refusal(staged, "ModelCorrupt")


def test_pipe_or_loop_in_the_place_of_a_file_is_corrupt_and_blocks_nobody(staged: Path) -> None:
    file = staged / DET / "inference.yml"
    file.unlink()
    os.mkfifo(file)
    assert "expected a file" in refusal(staged, "ModelCorrupt")
    file.unlink()
    file.symlink_to(file.name)
    refusal(staged, "ModelCorrupt")


def test_file_that_the_manifest_does_not_name_is_corrupt(staged: Path) -> None:
    (staged / DET / ".nfs0001").write_bytes(b"left by a file system")
    manifest.verify(staged)
    (staged / DET / "inference.onnx").write_bytes(b"PaddleX would see this")
    assert "not listed" in refusal(staged, "ModelCorrupt")


# --- roles ---


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("PP-OCRv5_server_det", "text_detection"),
        ("PP-OCRv6_tiny_rec", "text_recognition"),
        ("chinese_cht_PP-OCRv3_mobile_rec", "text_recognition"),
        ("PP-OCRv4_server_rec_doc", "text_recognition"),
        ("PP-LCNet_x0_25_textline_ori", "textline_orientation"),
        ("PP-LCNet_x1_0_doc_ori", "doc_orientation_classify"),
        ("UVDoc", "doc_unwarping"),
        ("PP-OCRv4_mobile_seal_det", None),
        ("PP-LCNet_x1_0", None),
        ("../PP-OCRv5_mobile_det", None),
        ("PP-OCRv5_mobile_det\n", None),
    ],
)
def test_role_of_a_model_name(name: str, role: str | None) -> None:
    assert role_of(name) == role


# --- commands ---


def test_commands_stage_verify_and_say_what_they_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    source, folder = make_models(tmp_path / "in"), tmp_path / "out"

    def run(*words: str) -> str:
        args = parser.parse_args(["models", *words])
        assert args.run(args) == 0
        return capsys.readouterr().out

    staging = ("stage", "--source", f"folder:{source}", "--dir", str(folder))
    said = run(*staging)
    assert said.startswith(f"staged folder:{source} in {folder}\n")
    assert DET in said
    assert "text_recognition" in said
    assert "nothing to do" in run(*staging)
    assert run("verify", "--dir", str(folder)).startswith("verified 6 files")
