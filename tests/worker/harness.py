"""Starts a real worker with the fake engine, and removes everything at the end.

Use it as `with start_worker(tmp_path, instances=2) as worker:`. At the end of the block the worker
gets SIGTERM. It must exit with 0, without a traceback in its log and without an instance left.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.worker.client import Answer, Worker, instances_of, pids_of, wait_for

ROOT = Path(__file__).resolve().parents[2]
ENGINE = "tests.fake_engine:FakeEngine"
__all__ = ["Answer", "Worker", "instances_of", "launch", "pids_of", "start_worker", "wait_for"]

SETTINGS: dict[str, Any] = {
    "instances": {"min": 1, "max": 4, "bootSeconds": 30},
    "engine": {"name": ENGINE, "options": {}},
    "admission": {"maxMegapixels": 0.25, "maxPages": 100, "timeoutSeconds": 15},
    "memory": {"reserve": 0},
    # Small processes grow by half when they load PDFium. Tests of recycling set their own value.
    "recycle": {"memoryGrowth": 0},
    "http": {"graceSeconds": 0.2},
}


def launch(
    tmp_path: Path,
    *arguments: str,
    settings: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    inside: Callable[[list[str]], list[str]] = list,
    host: str | None = "127.0.0.1",
    port: int = 0,
    control_port: int = 0,
) -> Worker:
    """Start a worker process and return at once, before it listens. `inside` wraps its command.
    With `host` None the command has no --host."""
    config, log = tmp_path / "worker.yaml", tmp_path / "worker.log"
    config.write_text(yaml.safe_dump(merged(SETTINGS, settings or {})), encoding="utf-8")
    command = [sys.executable, "-m", "ocrpool_worker", "serve", "--config", str(config)]
    command += ["--port", str(port), "--control-port", str(control_port)]
    command += [] if host is None else ["--host", host]
    command += arguments
    with log.open("wb") as out:
        process = subprocess.Popen(
            inside(command),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            # One thread for each process: tests need no thread pools of libraries.
            env=os.environ | {"OMP_NUM_THREADS": "1"} | dict(environment or {}),
        )
    return Worker(process, log, host or "127.0.0.1")


@contextlib.contextmanager
def start_worker(
    tmp_path: Path,
    *arguments: str,
    instances: int = 1,
    settings: Mapping[str, Any] | None = None,
    ready: bool = True,
    inside: Callable[[list[str]], list[str]] = list,
) -> Iterator[Worker]:
    """A worker that listens, and with `ready` has all of its instances warm."""
    tmp_path.mkdir(exist_ok=True)
    given = ("--instances", str(instances), *arguments)
    worker = launch(tmp_path, *given, settings=settings, inside=inside)
    try:
        until_listening(worker)
        if ready:
            worker.until_ready(instances)
        yield worker
        worker.stop()
    except BaseException as error:
        error.add_note(f"the worker's log:\n{worker.log_tail()}")
        raise
    finally:
        worker.clean_up()


def until_listening(worker: Worker) -> None:
    """Wait until it listens, and store its ports."""

    def find_ports() -> bool:
        assert worker.process.poll() is None, f"the worker ended: {worker.log_tail()}"
        for event in worker.events():
            if event.get("event") == "listening":
                worker.port, worker.control_port = event["port"], event["controlPort"]
                return True
        return False

    wait_for("the worker listens", find_ports, or_tell=worker.log_tail)


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `more` into `base`, also in nested mappings."""
    both = dict(base)
    for key, value in more.items():
        inside = both.get(key)
        nested = isinstance(inside, Mapping) and isinstance(value, Mapping)
        both[key] = merged(inside, value) if nested else value  # type: ignore[arg-type]
    return both
