"""`ocrpool up` as a process of a measurement."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import yaml

from ocrpool.local.runtime_state import RuntimeState, base_folder, read_state
from ocrpool.protocol.state import State
from tools.bench.lib.cgroup import MemoryCgroup
from tools.bench.lib.servers import Process


class LocalPool(Process):
    """One CPU worker on free ports of 127.0.0.1, with as many instances as memory has room for.

    With `public`, `ocrpool status` sees it, as any other pool of this user.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        *,
        models: Path,
        pool: str = "pool",
        interval: float = 2.0,
        public: bool = False,
        cgroup: MemoryCgroup | None = None,
    ) -> None:
        super().__init__([], name="ocrpool up", cgroup=cgroup)
        if not public:
            self._environment["XDG_RUNTIME_DIR"] = str(self.folder)
        self._told = (base_folder() if public else self.folder / "ocrpool") / pool
        file = self.folder / "pool.yaml"
        body = {
            "apiVersion": "ocrpool.dev/v1alpha1",
            "kind": "OcrPool",
            "metadata": {"name": pool},
            "spec": {"device": "cpu", **spec},
        }
        file.write_text(yaml.safe_dump(body), encoding="utf-8")
        self._command = [sys.executable, "-m", "ocrpool", "up", "-f", str(file)]
        self._command += ["--models", str(models), "--port", "0"]
        self._command += ["--interval", str(interval)]

    @property
    def running(self) -> RuntimeState | None:
        """What it says of itself, once it says something."""
        return read_state(self._told)

    @property
    def port(self) -> int:
        running = self.running
        return running.workers[0].port if running is not None else 0

    @property
    def decision(self) -> str:
        running = self.running
        return running.workers[0].decision if running is not None else ""

    def state(self) -> State:
        """`GET /v1/state` of its worker. Raises OSError where that does not answer."""
        running = self.running
        if running is None or not running.workers[0].control_port:
            raise OSError("it does not listen yet")
        url = f"http://127.0.0.1:{running.workers[0].control_port}/v1/state"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return State.model_validate_json(answer.read())

    def wait_settled(
        self, seconds: float = 300, tell: Callable[[str], None] = lambda decision: None
    ) -> Self:
        """Wait until it has grown to what fits and holds; `tell` hears of every step. Raises
        StartError."""
        deadline = time.monotonic() + seconds
        told = ""
        while not self._holds():
            if " → " in self.decision and self.decision != told:
                told = self.decision
                tell(told)
            if not self.alive:
                raise self.failed("ended before it had grown")
            if time.monotonic() > deadline:
                raise self.failed(f"still growing after {seconds:.0f} s")
            time.sleep(0.2)
        return self

    def _holds(self) -> bool:
        try:
            instances = self.state().instances
        except (OSError, json.JSONDecodeError):
            return False
        settled = instances.ready == instances.target and not instances.booting
        held = ("hold, room ", "hold, instances.max")
        return settled and any(word in self.decision for word in held) and "≥" not in self.decision
