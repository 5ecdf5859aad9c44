"""The worker under attack: a real one, with a monitor on its event loop and its memory measured."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from ocrpool_worker.settings import WorkerSettings, settings_from
from tests.worker.client import Worker, wait_for
from tests.worker.harness import SETTINGS as BASE
from tests.worker.harness import merged, start_worker
from tools.bench.labs.hostile import engine
from tools.bench.lib.cgroup import MemoryCgroup

MIB = 1 << 20
T = TypeVar("T")
# Small budgets, so that a leak breaks them within seconds.
SETTINGS: dict[str, Any] = {
    "engine": {"name": engine.NAME, "options": {}},
    "admission": {
        "maxMegapixels": 0.5,
        "maxBody": 32 * MIB,
        "bodyMemory": 96 * MIB,
        "answerMemory": 64 * MIB,
        "queue": 256,
        "timeoutSeconds": 60,
    },
    "recycle": {"memoryGrowth": 0},
    "http": {"graceSeconds": 20},
}


@dataclass(frozen=True)
class LoopTimes:
    """The most CPU seconds of one callback, the name of that callback, and the largest delay of the
    loop in seconds, which includes other work of the machine."""

    cpu: float
    cpu_of: str
    late: float


@dataclass
class Target:
    """`faults`: the folder from which its engine takes faults. Memory is in bytes."""

    worker: Worker
    folder: Path
    faults: Path
    settings: WorkerSettings
    resting: int = 0
    _reports: int = 0
    _peak: int = 0

    @property
    def budget(self) -> int:
        """The memory that it may hold: what it holds at rest, plus the budgets of its settings."""
        admission = self.settings.admission
        return self.resting + admission.body_memory + getattr(admission, "answer_memory", 0)

    @property
    def peak(self) -> int:
        """The most that the supervisor ever held."""
        self._peak = max(self._peak, memory_of(self.worker.pid, "VmHWM"))
        return self._peak

    def peak_of(self, work: Callable[[], T]) -> tuple[T, int]:
        """The result of `work`, and the most memory that the supervisor took for it."""
        assert (
            self.peak
        )  # stored, because the next line resets the kernel's peak (proc(5), clear_refs)
        Path(f"/proc/{self.worker.pid}/clear_refs").write_text("5")
        before = self.resident
        found = work()
        return found, max(0, memory_of(self.worker.pid, "VmHWM") - before)

    @property
    def resident(self) -> int:
        return memory_of(self.worker.pid, "VmRSS")

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.worker.pid}/fd"))

    def loop(self) -> LoopTimes:
        """The worst values since the last call."""
        file = self.folder / "loop.json"
        self.worker.signal(signal.SIGUSR1)

        def look() -> dict[str, Any] | None:
            with contextlib.suppress(OSError, ValueError):
                found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
                return found if found["number"] > self._reports else None
            return None

        found = wait_for("the loop monitor reports", look)
        self._reports = found["number"]
        return LoopTimes(found["cpu"], found["cpuOf"], found["late"])

    @contextlib.contextmanager
    def limited(self, what: int, value: int) -> Iterator[None]:
        """Change a soft limit of the supervisor (`resource.RLIMIT_*`) within the block."""
        before, hard = resource.prlimit(self.worker.pid, what)
        resource.prlimit(self.worker.pid, what, (value, hard))
        try:
            yield
        finally:
            resource.prlimit(self.worker.pid, what, (before, hard))


def memory_of(pid: int, field: str) -> int:
    """A field of /proc/PID/status in bytes. Raises OSError where there is no such process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0]) * 1024
    raise OSError(f"process {pid} holds no memory")


def known_settings(raw: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Only the settings that this build knows, so that older builds can be measured, too."""
    fields = {field.alias: field.annotation for field in model.model_fields.values()}
    found = {}
    for name, value in raw.items():
        inner = fields.get(name)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found[name] = known_settings(value, inner)
        elif name in fields:
            found[name] = value
    return found


@contextlib.contextmanager
def target(
    *,
    instances: int,
    settings: Mapping[str, Any] | None = None,
    arguments: tuple[str, ...] = (),
    cgroup: MemoryCgroup | None = None,
    cooldown: float = 300,
    descriptors: int = 0,
    patience: float = 60,
) -> Iterator[Target]:
    """A worker that is ready. At the end it must stop cleanly: no traceback and no process left.
    Raises AssertionError where it does not. `cooldown`: see `tools.bench.labs.hostile.worker`;
    `descriptors`: the most that each of its processes may open, 0 for no extra limit."""
    with tempfile.TemporaryDirectory(prefix="ocrpool-hostile-") as place:
        folder, faults = Path(place), Path(place) / "faults"
        for name in ("hit", "taken"):
            (faults / name).mkdir(parents=True)
        effective = known_settings(merged(merged(BASE, SETTINGS), settings or {}), WorkerSettings)
        if effective["engine"]["name"] == engine.NAME:
            effective = merged(effective, {"engine": {"options": {"faults": str(faults)}}})

        def inside(command: list[str]) -> list[str]:
            # In place of `python -m ocrpool_worker.cli`.
            python, _, _, *rest = command
            ours = [python, "-m", "tools.bench.labs.hostile.worker", str(folder / "loop.json")]
            ours += [str(cooldown), *rest]
            if descriptors:
                ours = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(descriptors), *ours]
            return ours if cgroup is None else cgroup.command(ours)

        with start_worker(
            folder, *arguments, instances=instances, settings=effective, ready=False, inside=inside
        ) as worker:
            worker.until(
                f"{instances} instances are warm",
                lambda state: state["instances"]["ready"] >= instances,
                seconds=patience,
            )
            found = Target(worker, folder, faults, settings_from(effective))
            found.loop()
            found.resting = found.resident
            yield found
