"""The worker as a server process."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import yaml

from ocrpool.protocol.state import State
from tools.bench.lib.cgroup import MemoryCgroup
from tools.bench.lib.servers import Process, get_status


def _python_path(code: Path) -> str:
    """The folders with packages in a checkout. Older commits have `wire/`."""
    parts = (code, code / "wire", code / "worker_image", code / "operator")
    return ":".join(str(part) for part in parts if part.is_dir())


class WorkerServer(Process):
    """`ocrpool-worker serve` on free ports of 127.0.0.1, with `instances` instances.

    `settings` override defaults that suit a measurement: pages of up to 4 megapixels are admitted,
    because the warm-up grows with the largest admitted page.
    """

    def __init__(
        self,
        *,
        instances: int,
        models: Path | None = None,
        engine: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        name: str = "worker",
        cgroup: MemoryCgroup | None = None,
        code: Path | None = None,
    ) -> None:
        """`code`: a folder with another checkout of this repository, whose worker is started."""
        environment = {} if code is None else {"PYTHONPATH": _python_path(code)}
        super().__init__([], name=name, cgroup=cgroup, environment=environment)
        self.instances = instances
        self.port = 0
        self.control_port = 0
        config = {
            "engine": engine or {"name": "paddleocr", "options": {"cpu_threads": 1}},
            "instances": {"min": instances, "max": max(2, instances)},
            "admission": {"maxMegapixels": 4, "queue": 256},
            **(settings or {}),
        }
        file = self.folder / "settings.yaml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        # Older commits have no `__main__`.
        module = "ocrpool_worker" if code is None else "ocrpool_worker.cli"
        self._command = [sys.executable, "-m", module, "serve", "--config", str(file)]
        if models is not None:
            self._command += ["--models", str(models)]
        self._command += ["--instances", str(instances), "--host", "127.0.0.1"]
        self._command += ["--port", "0", "--control-port", "0"]

    def wait_ready(self, seconds: float = 240) -> Self:
        """Wait until all instances are warm. Raises StartError."""
        deadline = time.monotonic() + seconds
        while not (self._listening() and self._all_warm()):
            if not self.alive:
                raise self.failed("ended before it was ready")
            if time.monotonic() > deadline:
                raise self.failed(f"{self.instances} instances were not ready in {seconds:.0f} s")
            time.sleep(0.2)
        return self

    def wait_listening(self, seconds: float = 60) -> Self:
        """Wait until its ports are open. Raises StartError."""
        deadline = time.monotonic() + seconds
        while not self._listening():
            if not self.alive or time.monotonic() > deadline:
                raise self.failed("does not listen")
            time.sleep(0.1)
        return self

    def state(self) -> State:
        """`GET /v1/state`. Raises OSError where the worker does not answer."""
        url = f"http://127.0.0.1:{self.control_port}/v1/state"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return State.model_validate_json(answer.read())

    def _listening(self) -> bool:
        if self.port:
            return True
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and record.get("event") == "listening":
                self.port, self.control_port = record["port"], record["controlPort"]
                return True
        return False

    def _all_warm(self) -> bool:
        if get_status(f"http://127.0.0.1:{self.control_port}/readyz") != 200:
            return False
        try:
            return self.state().instances.ready >= self.instances
        except OSError:
            return False
