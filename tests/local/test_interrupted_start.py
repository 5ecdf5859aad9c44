"""A signal to end is never lost, at whatever moment of the start it comes, and leaves nothing."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.local.harness import command, environment, pool_file, up
from tests.worker.client import wait_for
from tests.worker.harness import ROOT, SETTINGS

# A start that is never looked at ends in 0.5 s here; a machine that is busy takes its time.
BOUND = 60.0
MOMENTS = 12

# Sends a signal to its own process when a module is first imported: at a moment when exceptions are
# ignored, as importlib has them, too.
AT_AN_IMPORT = """
import os, sys

class Unlucky:
    def __del__(self):
        os.kill(os.getpid(), int(os.environ["SIGNAL"]))
        for _ in range(1000):
            pass

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT_IMPORT"] and self in sys.meta_path:
            sys.meta_path.remove(self)
            Unlucky()

sys.meta_path.insert(0, Finder())
"""


@pytest.fixture(autouse=True)
def _signals_of_a_terminal() -> Iterator[None]:
    """Also where these tests run as a script's background job, whose children ignore SIGINT, or
    under nohup, whose children ignore SIGHUP."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGHUP, hangup)


def processes_of(folder: Path) -> list[int]:
    """Those that live and were started with this runtime folder, or by one that was."""
    mark, found = f"XDG_RUNTIME_DIR={folder}\0".encode(), []
    for each in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if mark in (each / "environ").read_bytes():
                found.append(int(each.name))
    return found


@contextlib.contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """When this ends all that was started in the folder has ended by itself."""
    try:
        yield
        wait_for("nothing is left", lambda: not processes_of(folder), seconds=BOUND)
    finally:
        for pid in processes_of(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def up_command(folder: Path) -> list[str]:
    file = pool_file(folder, template={"graceSeconds": 1})
    return command("up", "-f", str(file), "--port", "0", "--interval", "0.1")


def serve_command(folder: Path) -> list[str]:
    file = folder / "worker.yaml"
    ports = {"host": "127.0.0.1", "port": 0, "controlPort": 0, "graceSeconds": 0.2}
    file.write_text(yaml.safe_dump(SETTINGS | {"http": ports}), encoding="utf-8")
    return [sys.executable, "-m", "ocrpool_worker", "serve", "--config", str(file)]


Command = Callable[[Path], list[str]]


def start(folder: Path, argv: list[str], **more: str) -> subprocess.Popen[bytes]:
    """In a process group of its own, as a terminal's foreground job is."""
    with (folder / "out").open("wb") as out:
        return subprocess.Popen(
            argv,
            cwd=ROOT,
            env=environment(folder, more),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


@pytest.mark.parametrize("ignored", [False, True], ids=["", "a background job of a script"])
@pytest.mark.parametrize(
    ("given", "module"),
    [
        (up_command, "argparse"),
        (up_command, "pydantic"),
        (up_command, "aiohttp"),
        (up_command, "rich.console"),
        (serve_command, "yaml"),
        (serve_command, "aiohttp.web"),
        (serve_command, "tests.fake_engine"),
    ],
)
def test_a_signal_while_modules_are_imported(
    tmp_path: Path, given: Command, module: str, ignored: bool
) -> None:
    (tmp_path / "sitecustomize.py").write_text(AT_AN_IMPORT)
    argv = given(tmp_path)
    if ignored:
        argv = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *argv]
    with nothing_left(tmp_path):
        process = start(
            tmp_path,
            argv,
            PYTHONPATH=str(tmp_path),
            AT_IMPORT=module,
            SIGNAL=str(int(signal.SIGINT)),
        )
        process.wait(BOUND)
    assert process.returncode == -signal.SIGINT, (tmp_path / "out").read_text()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("given", [up_command, serve_command], ids=["ocrpool up", "a worker"])
def test_a_signal_at_many_moments_of_the_start(tmp_path: Path, given: Command) -> None:
    """Spread over the time that a start took here just before, and to the whole group, as a
    terminal does it."""
    whole = tmp_path / "whole"
    whole.mkdir()
    began = time.monotonic()
    with nothing_left(whole):
        process = start(whole, given(whole))
        wait_for("it is up", lambda: "ready" in (whole / "out").read_text(), seconds=BOUND)
        took = time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        assert process.wait(BOUND) == 0

    def interrupt(moment: int) -> None:
        folder = tmp_path / str(moment)
        folder.mkdir()
        number = (signal.SIGINT, signal.SIGTERM)[moment % 2]
        with nothing_left(folder):
            process = start(folder, given(folder))
            # Not in the first moments, in which there is an interpreter and nothing of ours yet.
            time.sleep(0.05 + took * 1.2 * moment / MOMENTS)
            os.killpg(process.pid, number)
            status = process.wait(BOUND)
        told = (folder / "out").read_text()
        assert status in (0, -number, 1), told
        # Python's own start may be told by an exception; ours tells nothing of the kind.
        assert status != 1 or ("ocrpool_" not in told and "ocrpool:" not in told), told

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(interrupt, moment) for moment in range(MOMENTS)]:
            done.result()


def test_a_signal_while_the_first_instance_boots(tmp_path: Path) -> None:
    boot = {"options": {"boot": {"sleep": 600}}}
    with up(tmp_path, engine=boot, template={"graceSeconds": 1}) as shell, nothing_left(tmp_path):
        wait_for("it boots", lambda: shell.worker().state()["instances"]["booting"] == 1)
        assert shell.interrupt(BOUND) == 0


def test_a_signal_while_a_worker_does_not_answer(tmp_path: Path) -> None:
    """What is waited for is an answer of it: no longer, once it is to end."""
    with up(tmp_path, template={"graceSeconds": 0}) as shell, nothing_left(tmp_path):
        shell.worker().until_ready(2)
        (pid,) = shell.worker_pids()
        os.kill(pid, signal.SIGSTOP)
        shell.process.send_signal(signal.SIGINT)
        wait_for("it drains", lambda: "draining" in shell.output(), seconds=BOUND)
        assert shell.interrupt(BOUND) == 0  # the second one ends them at once


def test_under_nohup_the_end_of_the_terminal_is_passed_over(tmp_path: Path) -> None:
    def nohup(given: list[str]) -> list[str]:
        return ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *given]

    with up(tmp_path, inside=nohup) as shell:
        shell.worker().until_ready(2)
        shell.process.send_signal(signal.SIGHUP)
        assert shell.worker().read(say="served").text == "served"
        time.sleep(0.5)  # five rounds: one that had heard it would be draining
        assert "draining" not in shell.output()


def test_a_terminal_that_goes_away_ends_it_in_order(tmp_path: Path) -> None:
    """Nothing can be drawn any more, and the workers are ended all the same."""
    ours, theirs = os.openpty()

    with nothing_left(tmp_path):
        process = subprocess.Popen(
            ["setsid", "--ctty", *up_command(tmp_path)],
            cwd=ROOT,
            env=environment(tmp_path),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        shown = b""
        while b"2/2 ready" not in shown:
            shown += os.read(ours, 65536)
        os.close(ours)
        assert process.wait(BOUND) == 0


def test_a_signal_while_the_driver_does_not_answer(tmp_path: Path) -> None:
    source, library = tmp_path / "nvml.c", tmp_path / "libnvidia-ml.so.1"
    touch = f'close(creat("{tmp_path}/asked", 0600))'
    source.write_text(
        "#include <fcntl.h>\n#include <unistd.h>\n"
        f"int nvmlInitWithFlags(unsigned f) {{ {touch}; for (;;) pause(); return f; }}\n"
    )
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    file = pool_file(tmp_path, device="gpu")
    with nothing_left(tmp_path):
        argv = command("up", "-f", str(file), "--port", "0")
        process = start(tmp_path, argv, LD_LIBRARY_PATH=str(tmp_path))
        wait_for("the driver is asked", (tmp_path / "asked").exists, seconds=BOUND)
        process.send_signal(signal.SIGINT)
        assert process.wait(BOUND) == -signal.SIGINT


def test_the_first_process_of_a_container_is_ended_too(tmp_path: Path) -> None:
    """The kernel drops what it does not handle."""
    (tmp_path / "sitecustomize.py").write_text(AT_AN_IMPORT)
    alone = ["unshare", "--pid", "--fork", "--kill-child"]
    alone += [] if os.geteuid() == 0 else ["--map-root-user"]
    with nothing_left(tmp_path):
        process = start(
            tmp_path,
            [*alone, *serve_command(tmp_path)],
            PYTHONPATH=str(tmp_path),
            AT_IMPORT="aiohttp.web",
            SIGNAL=str(int(signal.SIGTERM)),
        )
        assert process.wait(BOUND) == 128 + signal.SIGTERM, (tmp_path / "out").read_text()
