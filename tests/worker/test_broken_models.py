"""docs/failure-rules.md: missing or damaged model files stop the starts, without a crash loop."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from ocrpool_worker.cli import EXIT_BOOT, EXIT_MODELS
from ocrpool_worker.models.sources import FolderSource
from ocrpool_worker.models.stage import stage
from tests.unit.worker.fake_models import DET, make_models
from tests.worker.harness import Worker, launch, start_worker

NEEDS_MODELS = {"engine": {"name": "tests.fake_engine:FakeEngineWithModels"}}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A staged folder of tiny model files."""
    target = tmp_path / "models"
    stage(FolderSource(make_models(tmp_path / "source")), target)
    return target


def corrupt(models: Path) -> bytes:
    """Flip one bit; returns what the file was."""
    file = models / DET / "inference.pdiparams"
    good = file.read_bytes()
    file.write_bytes(bytes([good[0] ^ 1]) + good[1:])
    return good


def kill_all(worker: Worker) -> None:
    for pid in worker.pids():
        os.kill(pid, signal.SIGKILL)


def until_given_up(worker: Worker, reason: str) -> None:
    worker.until(
        f"boots have stopped with {reason}",
        lambda state: (
            state["counters"]["bootFailures"] == 3
            and state["instances"]["booting"] == 0
            and (state["problem"] or {}).get("reason") == reason
        ),
    )
    probe = worker.control("GET", "/readyz")
    assert probe.status == 503
    assert probe.body.startswith(reason.encode())
    answer = worker.read(say="nobody reads this")
    assert (answer.status, answer.reason) == (503, "Unavailable"), answer
    assert reason in answer.message


def test_the_log_says_once_which_optional_models_are_missing(tmp_path: Path, models: Path) -> None:
    arguments = ("--models", str(models))
    with start_worker(tmp_path, *arguments, instances=2, settings=NEEDS_MODELS) as worker:
        (logged,) = [one for one in worker.events() if one["event"] == "models verified"]
    assert logged["models"]["text_detection"] == DET
    assert logged["notThere"] == [
        "doc_orientation_classify",
        "textline_orientation",
        "doc_unwarping",
    ]


def test_files_corrupted_at_run_time_stop_startups_until_they_are_restored(
    tmp_path: Path, models: Path
) -> None:
    where = ("--models", str(models))
    with start_worker(tmp_path, *where, instances=2, settings=NEEDS_MODELS) as worker:
        good = corrupt(models)
        assert worker.read(say="it holds them").text == "it holds them"
        kill_all(worker)
        until_given_up(worker, "ModelCorrupt")
        assert DET in worker.state()["problem"]["message"]
        time.sleep(2.2)  # longer than the next back-off would be: it does not go on
        assert worker.counters()["bootFailures"] == 3

        (models / DET / "inference.pdiparams").write_bytes(good)
        assert worker.set_target(2).status == 200
        worker.until_ready(2)
        assert worker.ready
        assert worker.read(say="back").text == "back"


def test_files_corrupted_at_run_time_do_not_affect_running_instances(
    tmp_path: Path, models: Path
) -> None:
    where = ("--models", str(models))
    with start_worker(tmp_path, *where, instances=2, settings=NEEDS_MODELS) as worker:
        corrupt(models)
        os.kill(worker.pids()[0], signal.SIGKILL)
        worker.until("boots stop", lambda state: state["counters"]["bootFailures"] == 3)
        assert worker.read(say="still here").text == "still here"
        assert worker.ready
        assert worker.state()["problem"]["reason"] == "ModelCorrupt"


def spoken(worker: Worker) -> list[str]:
    """What it wrote besides its JSON log."""
    lines = worker.log_file.read_text().splitlines()
    return [line for line in lines if not line.startswith("{")]


@pytest.mark.parametrize("damage", ["no folder", "not set", "missing file", "corrupt"])
def test_bad_models_at_start_end_the_worker_with_one_line(
    tmp_path: Path, models: Path, damage: str
) -> None:
    arguments = [] if damage == "not set" else ["--models", str(models)]
    if damage == "no folder":
        shutil.rmtree(models)
    elif damage == "missing file":
        (models / DET / "inference.yml").unlink()
    elif damage == "corrupt":
        corrupt(models)
    worker = launch(tmp_path, *arguments, settings=NEEDS_MODELS)
    try:
        assert worker.ended() == EXIT_MODELS
        (line,) = spoken(worker)
        assert line.startswith("ocrpool-worker: ")
        assert {"missing file": "inference.yml", "corrupt": "pdiparams"}.get(damage, "") in line
        assert "models stage" in line, "it does not say what to do"
    finally:
        worker.clean_up()


def test_bad_models_at_start_are_waited_for_on_request(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    wait = ("--models", str(folder), "--on-failed-start", "wait")
    with start_worker(tmp_path, *wait, settings=NEEDS_MODELS, ready=False) as worker:
        until_given_up(worker, "ModelMissing")
        assert worker.control("GET", "/livez").status == 200
        stage(FolderSource(make_models(tmp_path / "source")), folder)
        worker.set_target(1)
        worker.until_ready(1)
        assert worker.read(say="here they are").text == "here they are"


@pytest.mark.parametrize(
    ("boot", "message"),
    [
        ({"raise": "TypeError:unexpected option 'lamg'"}, "unexpected option 'lamg'"),
        ({"log": "Illegal instruction here", "signal": "SIGILL"}, "Illegal instruction here"),
        ({"log": "\x00\xff" * 50_000 + "\nno such device", "exit": 5}, "no such device"),
        ({"raise": "MemoryError:"}, "InsufficientMemory"),
        ({"sleep": 60}, "BootTimeout"),
    ],
    ids=["error", "signal", "exit after output", "memory", "too slow"],
)
def test_an_engine_that_cannot_start_ends_the_worker_with_one_line(
    tmp_path: Path, boot: dict[str, object], message: str
) -> None:
    seconds = 1 if "sleep" in boot else 30
    settings = {"engine": {"options": {"boot": boot}}, "instances": {"bootSeconds": seconds}}
    worker = launch(tmp_path, settings=settings)
    try:
        assert worker.ended() == EXIT_BOOT
        (line,) = spoken(worker)
        assert line.startswith("ocrpool-worker: ")
        assert message in line
    finally:
        worker.clean_up()


def test_a_startup_that_fails_once_is_tried_again(tmp_path: Path) -> None:
    boot = {"signal": "SIGKILL", "once": str(tmp_path / "flag")}
    with start_worker(tmp_path, settings={"engine": {"options": {"boot": boot}}}) as worker:
        assert worker.read(say="read").text == "read"
        assert worker.counters()["bootFailures"] == 1
        assert worker.state()["problem"] is None
