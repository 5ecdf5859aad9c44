"""`ocrpool up` as a process that a measurement starts and ends."""

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
    """One CPU worker on free ports of 127.0.0.1, with as many instances as fit into memory.

    With `public`, `ocrpool status` shows it like any other pool of this user.
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
        self._state_folder = (base_folder() if public else self.folder / "ocrpool") / pool
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
        """The state that it has written, or None before it has."""
        return read_state(self._state_folder)

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
        self, seconds: float = 300, on_step: Callable[[str], None] = lambda decision: None
    ) -> Self:
        """Wait until it has grown to what fits. `on_step` gets each decision that changes the
        number. Raises StartError."""
        deadline = time.monotonic() + seconds
        last = ""
        while not self._is_settled():
            if " → " in self.decision and self.decision != last:
                last = self.decision
                on_step(last)
            if not self.alive:
                raise self.failed("ended before it had grown")
            if time.monotonic() > deadline:
                raise self.failed(f"still growing after {seconds:.0f} s")
            time.sleep(0.2)
        return self

    def _is_settled(self) -> bool:
        try:
            instances = self.state().instances
        except (OSError, json.JSONDecodeError):
            return False
        settled = instances.ready == instances.target and not instances.booting
        held = ("hold, headroom ", "hold, instances.max")
        return settled and any(word in self.decision for word in held) and "≥" not in self.decision
