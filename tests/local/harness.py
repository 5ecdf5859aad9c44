"""Starts a real `ocrpool up` over real workers with the fake engine."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ocrpool.local.runtime_state import RuntimeState, WorkerRuntimeState
from tests.worker.client import Answer, Worker, instances_of, wait_for
from tests.worker.harness import ENGINE, ROOT, merged

MI = 2**20
POOL: dict[str, Any] = {
    "apiVersion": "ocrpool.dev/v1alpha1",
    "kind": "OcrPool",
    "metadata": {"name": "test"},
    "spec": {
        "device": "cpu",
        "instances": {"min": 1, "max": 2},
        "memory": {"reserve": "64Mi"},
        "engine": {"name": ENGINE},
        "admission": {"maxMegapixels": 0.25, "timeoutSeconds": 15},
        "recycle": {"memoryGrowth": 0},
    },
}


def pool_file(folder: Path, name: str = "test", **spec: Any) -> Path:
    """A pool file with these parts of its spec changed."""
    path = folder / f"{name}.yaml"
    pool = merged(POOL, {"metadata": {"name": name}, "spec": spec})
    path.write_text(yaml.safe_dump(pool), encoding="utf-8")
    return path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ocrpool", *arguments]


def environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    return os.environ | {"XDG_RUNTIME_DIR": str(folder), "OMP_NUM_THREADS": "1"} | dict(more or {})


def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(folder, more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Up:
    """A running `ocrpool up` whose first worker tests look at."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
        self.process = process
        self.folder = folder
        self.log = log

    def running(self) -> RuntimeState | None:
        try:
            raw = json.loads((self.folder / "running.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return RuntimeState(
            workers=tuple(WorkerRuntimeState(**one) for one in raw.pop("workers")), **raw
        )

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def worker(self, name: str = "worker-0") -> Worker:
        """The worker as a client sees it, once it listens."""

        def look() -> WorkerRuntimeState | None:
            assert self.process.poll() is None, self.output()
            running = self.running()
            found = [one for one in running.workers if one.name == name] if running else []
            return found[0] if found and found[0].control_port else None

        found = wait_for("the worker listens", look, or_tell=self.output)
        worker = Worker(self.process, self.log, "127.0.0.1")
        worker.port, worker.control_port = found.port, found.control_port
        return worker

    def worker_pids(self) -> list[int]:
        """The worker processes that it has started."""
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if f"\nPPid:\t{self.process.pid}\n" in (folder / "status").read_text():
                    found.append(int(folder.name))
        return found

    def decisions(self, worker: str = "") -> list[tuple[int, int]]:
        """Every step of a worker (of all) from one number of instances to another, in order."""
        steps = re.findall(rf" {worker}.* (\d+) → (\d+): ", self.output())
        return [(int(before), int(after)) for before, after in steps]

    def interrupt(self, seconds: float = 30) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(seconds)


@contextlib.contextmanager
def up(
    folder: Path,
    *arguments: str,
    name: str = "test",
    inside: Callable[[list[str]], list[str]] = list,
    **spec: Any,
) -> Iterator[Up]:
    """`ocrpool up` with free ports and short intervals; nothing of it is left when this ends.
    `inside` wraps its command."""
    file, log = pool_file(folder, name, **spec), folder / f"{name}.log"
    given = ("up", "-f", str(file), "--port", "0", "--interval", "0.1", *arguments)
    with log.open("wb") as out:
        process = subprocess.Popen(
            inside(command(*given)), cwd=ROOT, env=environment(folder), stdout=out, stderr=out
        )
    shell = Up(process, folder / "ocrpool" / name, log)
    children: list[int] = []
    try:
        yield shell
        children = shell.worker_pids()
        if process.poll() is None:
            assert shell.interrupt() == 0, shell.output()
    except BaseException as error:
        error.add_note(shell.output())
        raise
    finally:
        children = children or shell.worker_pids()
        if process.poll() is None:
            process.kill()
            process.wait()
        for pid in children:
            for one in (*instances_of(pid), pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)


__all__ = ["MI", "Answer", "Up", "pool_file", "run", "up"]
