"""Staging is complete or has no effect: kills, full disks and rivals, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ocrpool_worker.errors import ModelError, StageError
from ocrpool_worker.models import manifest
from ocrpool_worker.models import stage as stage_module
from ocrpool_worker.models.sources import FolderSource
from ocrpool_worker.models.stage import stage
from tests.unit.worker.fake_models import DET, REC, make_model, make_models

CHILD = """
import os, resource, sys, time
from pathlib import Path
from ocrpool_worker.errors import StageError
from ocrpool_worker.models import stage as module
from ocrpool_worker.models.sources import FolderSource
source, folder = FolderSource(Path(sys.argv[1])), Path(sys.argv[2])
def report(message): print(message, flush=True)
"""


def child(code: str, source: Path, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD + code, str(source), str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_models(tmp_path / "source")


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.parent.glob(f".{folder.name}.staging-*")]


def test_killed_half_way_leaves_nothing_under_the_name_and_the_next_one_cleans_up(
    source: Path, tmp_path: Path
) -> None:
    code = """
fetch = source.fetch
def half(tree, scratch, seconds):
    answer = fetch(tree, scratch, seconds)
    (tree / "PP-OCRv5_mobile_rec/inference.pdiparams").write_bytes(b"half")
    print("half", flush=True)
    time.sleep(600)
source.fetch = half
module.stage(source, folder)
"""
    folder = tmp_path / "out"
    with child(code, source, folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.kill()
    assert not folder.exists()
    assert len(left_over(folder)) == 1
    stage(FolderSource(source), folder)
    manifest.verify(folder)
    assert not left_over(folder)


@pytest.mark.parametrize("renames", [0, 1])
def test_killed_while_replacing_never_leaves_a_part(
    source: Path, tmp_path: Path, renames: int
) -> None:
    """Before the first rename the old folder is complete; after it, nothing is there."""
    folder = stage(FolderSource(source), tmp_path / "out").folder
    code = f"""
done, rename = 0, Path.rename
def killing(self, target):
    global done
    if done == {renames}:
        os.kill(os.getpid(), 9)
    done += 1
    return rename(self, target)
Path.rename = killing
module.stage(source, folder, force=True)
"""
    with child(code, source, folder) as process:
        assert process.wait(30) == -signal.SIGKILL
    if renames == 0:
        manifest.verify(folder)
    else:
        with pytest.raises(ModelError, match="found nothing") as caught:
            manifest.verify(folder)
        assert caught.value.reason == "ModelMissing"
    stage(FolderSource(source), folder)
    manifest.verify(folder)


def test_stagings_at_once_make_one_whole_folder(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    code = "print('fresh' if module.stage(source, folder).fresh else 'there already')"
    rivals = [child(code, source, folder) for _ in range(6)]
    said = [rival.communicate(timeout=60)[0].strip() for rival in rivals]
    assert sorted(said) == ["fresh"] + ["there already"] * 5
    manifest.verify(folder)
    assert not left_over(folder)


def test_forced_stagings_at_once_leave_a_whole_folder(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    rivals = [child("module.stage(source, folder, force=True)", source, folder) for _ in range(4)]
    assert [rival.wait(60) for rival in rivals] == [0] * 4
    for rival in rivals:
        rival.communicate()
    manifest.verify(folder)
    assert not left_over(folder)


def test_second_staging_says_that_it_waits(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with stage_module._locked(folder, print):
        rival = child("module.stage(source, folder, report=report)", source, folder)
        assert rival.stdout is not None
        assert "waits for another staging" in rival.stdout.readline()
        assert not folder.exists()
    rival.communicate(timeout=30)
    manifest.verify(folder)


def test_file_that_cannot_be_written_whole_leaves_nothing(source: Path, tmp_path: Path) -> None:
    """A limit on file sizes replaces a full disk: the kernel truncates the write."""
    folder = tmp_path / "out"
    code = """
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
try:
    module.stage(source, folder)
except StageError as error:
    print(error)
"""
    with child(code, source, folder) as process:
        said = process.communicate(timeout=30)[0]
    assert said.startswith(f"{folder}: not staged: File too large")
    assert said.count("\n") == 1
    assert not folder.exists()
    assert not left_over(folder)


def test_full_disk_keeps_the_old_folder(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stage(FolderSource(source), tmp_path / "out").folder

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(stage_module, "_sync", full)
    with pytest.raises(StageError, match="No space left on device"):
        stage(FolderSource(source), folder, force=True)
    manifest.verify(folder)
    assert not left_over(folder)


def test_failed_last_rename_puts_the_old_folder_back(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stage(FolderSource(source), tmp_path / "out").folder
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "tree":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(StageError, match="Input/output error"):
        stage(FolderSource(source), folder, force=True)
    manifest.verify(folder)


def test_the_same_again_is_a_no_op_that_writes_nothing(source: Path, tmp_path: Path) -> None:
    first = stage(FolderSource(source), tmp_path / "out")
    (tmp_path / ".out.lock").unlink()
    second = stage(FolderSource(source), tmp_path / "out")
    assert (first.fresh, second.fresh) == (True, False)
    assert first.manifest == second.manifest
    assert not (tmp_path / ".out.lock").exists()


def test_damaged_folder_is_mended_without_force(source: Path, tmp_path: Path) -> None:
    folder = stage(FolderSource(source), tmp_path / "out").folder
    (folder / REC / "inference.pdiparams").write_bytes(b"damaged")
    assert stage(FolderSource(source), folder).fresh
    (folder / "manifest.json").unlink()
    assert stage(FolderSource(source), folder).fresh
    manifest.verify(folder)


def test_another_source_needs_force(source: Path, tmp_path: Path) -> None:
    folder = stage(FolderSource(source), tmp_path / "out").folder
    make_model(tmp_path / "other", "PP-OCRv5_server_det")
    other = FolderSource(tmp_path / "other")
    with pytest.raises(StageError, match=f"holds models from folder:{source}; give --force"):
        stage(other, folder)
    assert (folder / DET).is_dir()
    stage(other, folder, force=True)
    assert manifest.verify(folder) == {"text_detection": folder / "PP-OCRv5_server_det"}


@pytest.mark.parametrize("force", [False, True])
def test_folder_with_anything_else_in_it_is_never_removed(
    source: Path, tmp_path: Path, force: bool
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    stage(FolderSource(source), folder)  # an empty folder may be filled
    (folder / "thesis.tex").write_text("years of work")
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(StageError, match=r"holds thesis.tex, which is not a model file"):
        stage(FolderSource(source), folder, force=force)
    assert (folder / "thesis.tex").read_text() == "years of work"


def test_folder_is_staged_through_a_link(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    stage(FolderSource(source), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert manifest.verify(tmp_path / "link")["text_detection"] == tmp_path / "real" / DET


def test_place_that_cannot_be_written_is_one_line(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StageError, match="not staged: File exists") as caught:
        stage(FolderSource(source), tmp_path / "file" / "out")
    assert str(caught.value).isprintable()


def test_mount_point_is_not_replaced(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "volume"
    folder.mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: path == folder)
    with pytest.raises(StageError, match=r"mount point.*volume/models"):
        stage(FolderSource(source), folder)
