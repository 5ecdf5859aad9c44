"""A full disk costs `ocrpool up` what it would have written, and nothing else. The disk is real: a
few hundred kilobytes in a mount namespace of its own."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_engine import order_png
from tests.local.harness import Up, command, environment, pool_file, up
from tests.worker.client import exchange, wait_for


class Disk:
    """What `ocrpool up` writes lies on it; it is seen through the process that has it mounted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "ocrpool"
        self._folder.mkdir(mode=0o700)
        self._filled: list[Path] = []

    def inside(self, given: list[str], before: str = ":") -> list[str]:
        """The command, on a new disk; `before` is a shell's command that runs there first."""
        mount = f"mount -t tmpfs -o size=256k,mode=0700 tmpfs {shlex.quote(str(self._folder))}"
        script = f"{mount} && cd {shlex.quote(str(self._folder))} && {{ {before}; }}; cd - >&2 && "
        run = ["sh", "-ec", script + f"exec {shlex.join(given)}"]
        return ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), *run]

    def of(self, shell: Up) -> Path:
        return Path(f"/proc/{shell.process.pid}/root{self._folder}")

    def fill(self, shell: Up) -> None:
        """To the last byte that is free at this moment."""
        for name in ("filler", "test/worker-0.log"):  # the log has a part of a page left, mostly
            path = self.of(shell) / name
            with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
                while file.write(b"\n" * 512):
                    pass

    def free(self, shell: Up) -> None:
        (self.of(shell) / "filler").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@contextlib.contextmanager
def up_on(disk: Disk, tmp_path: Path) -> Iterator[Up]:
    with up(tmp_path, inside=disk.inside) as shell:
        wait_for("it is on its disk", (disk.of(shell) / "test/running.json").exists)
        shell.folder = disk.of(shell) / "test"
        yield shell


def addresses(shell: Up) -> list[str]:
    """Every address that it has told its worker to have, in order."""
    return re.findall(r"worker-0 http://127\.0\.0\.1:(\d+):", shell.output())


def test_it_serves_on_and_starts_a_dead_worker_again(disk: Disk, tmp_path: Path) -> None:
    with up_on(disk, tmp_path) as shell:
        shell.worker().until_ready(2)
        (pid,) = shell.worker_pids()
        first = shell.worker()

        def warned() -> bool:
            disk.fill(shell)  # again: what it has just replaced has become free
            return "`ocrpool status` shows an old state" in shell.output()

        wait_for("it warns", warned)
        assert first.read(say="on a full disk").text == "on a full disk"
        os.kill(pid, signal.SIGKILL)
        wait_for(
            "another worker listens",
            lambda: addresses(shell)[-1:] not in ([], [str(first.port)]),
            or_tell=shell.output,
        )
        port = int(addresses(shell)[-1])

        def answered() -> bool:
            at = ("127.0.0.1", port)
            return exchange(at, "POST", "/v1/ocr", order_png(say="x")).status == 200

        wait_for("it answers", answered, or_tell=shell.output)
        wait_for("it has grown", lambda: f":{port}: 2 ready" in shell.output())
        wait_for("the log is warned of", lambda: "are lost until this is solved" in shell.output())
        warnings = re.findall(r"^ocrpool: warning: .*$", shell.output(), re.MULTILINE)
        assert len(warnings) == len({"the status", "the log"}), warnings
        assert all("No space left on device" in warning for warning in warnings)
        disk.free(shell)
        wait_for("the status is told again", lambda: shell.worker().port == port)
        assert shell.worker().state()["instances"]["ready"] == 2


def test_at_the_start_it_is_one_line(disk: Disk, tmp_path: Path) -> None:
    file = pool_file(tmp_path)
    fill = "head -c 400k /dev/zero > filler 2>/dev/null || true"
    given = disk.inside(command("up", "-f", str(file), "--port", "0"), before=fill)
    log = tmp_path / "log"
    with log.open("wb") as out:
        done = subprocess.run(
            given,
            env=environment(tmp_path),
            stdout=subprocess.DEVNULL,
            stderr=out,
            timeout=60,
            check=False,
        )
    said = [line for line in log.read_text().splitlines() if line.startswith("ocrpool: ")]
    assert done.returncode == 1
    assert len(said) == 1, log.read_text()
    assert "No space left on device" in said[0]
    assert "Traceback" not in log.read_text()


def test_output_that_nobody_takes_ends_nothing(tmp_path: Path) -> None:
    def redirected(given: list[str]) -> list[str]:
        return ["sh", "-c", f"exec {shlex.join(given)} > /dev/full"]

    with up(tmp_path, inside=redirected) as shell:
        shell.worker().until_ready(2)
        assert shell.worker().read(say="served").text == "served"
        assert shell.interrupt() == 0
        warnings = shell.output().splitlines()
    assert warnings == [
        "ocrpool: warning: standard output: No space left on device; the pool keeps serving"
    ]
