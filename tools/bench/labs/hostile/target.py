"""A worker to be attacked: a real one, with a monitor on its loop, and what it was seen to take."""

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
# Small budgets, so that what breaks them does so within seconds.
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
    """Seconds of CPU of the loop's worst callback, its name, and how late the loop was by the clock
    (others' work included)."""

    cpu: float
    cpu_of: str
    late: float


@dataclass
class Target:
    """`folder` is its own, `faults` is where its engine looks for faults to take. Bytes."""

    worker: Worker
    folder: Path
    faults: Path
    settings: WorkerSettings
    resting: int = 0
    _reports: int = 0
    _peak: int = 0

    @property
    def budget(self) -> int:
        """What it may take: what it holds at rest, and the budgets of its settings."""
        admission = self.settings.admission
        return self.resting + admission.body_memory + getattr(admission, "answer_memory", 0)

    @property
    def peak(self) -> int:
        """The most that the supervisor ever held."""
        self._peak = max(self._peak, memory_of(self.worker.pid, "VmHWM"))
        return self._peak

    def peak_of(self, work: Callable[[], T]) -> tuple[T, int]:
        """What `work` gives, and the most that the supervisor took on top of what it held."""
        assert self.peak  # remembered, for now it begins anew (proc(5), clear_refs)
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
        """The worst since the last time that this was asked."""
        file = self.folder / "loop.json"
        self.worker.signal(signal.SIGUSR1)

        def look() -> dict[str, Any] | None:
            with contextlib.suppress(OSError, ValueError):
                found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
                return found if found["number"] > self._reports else None
            return None

        found = wait_for("the loop's monitor is read", look)
        self._reports = found["number"]
        return LoopTimes(found["cpu"], found["cpuOf"], found["late"])

    @contextlib.contextmanager
    def limited(self, what: int, value: int) -> Iterator[None]:
        """Inside, a soft limit of the supervisor (`resource.RLIMIT_*`) is another one."""
        before, hard = resource.prlimit(self.worker.pid, what)
        resource.prlimit(self.worker.pid, what, (value, hard))
        try:
            yield
        finally:
            resource.prlimit(self.worker.pid, what, (before, hard))


def memory_of(pid: int, field: str) -> int:
    """Bytes, by a field of /proc/PID/status. Raises OSError where there is no such process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0]) * 1024
    raise OSError(f"process {pid} holds no memory")


def known(raw: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Only the settings that this build has: older ones are to be measured, too."""
    fields = {field.alias: field.annotation for field in model.model_fields.values()}
    found = {}
    for name, value in raw.items():
        inner = fields.get(name)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found[name] = known(value, inner)
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
    """A worker that is ready; at the end it must stop in order: no traceback, nobody left behind.
    Raises AssertionError where it does not. `cooldown`: see `tools.bench.labs.hostile.worker`;
    `descriptors`: most that each of its processes may open, 0 for no limit of ours."""
    with tempfile.TemporaryDirectory(prefix="ocrpool-hostile-") as place:
        folder, faults = Path(place), Path(place) / "faults"
        for name in ("hit", "taken"):
            (faults / name).mkdir(parents=True)
        wanted = known(merged(merged(BASE, SETTINGS), settings or {}), WorkerSettings)
        if wanted["engine"]["name"] == engine.NAME:
            wanted = merged(wanted, {"engine": {"options": {"faults": str(faults)}}})

        def inside(command: list[str]) -> list[str]:
            # In place of `python -m ocrpool_worker.cli`.
            python, _, _, *rest = command
            ours = [python, "-m", "tools.bench.labs.hostile.worker", str(folder / "loop.json")]
            ours += [str(cooldown), *rest]
            if descriptors:
                ours = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(descriptors), *ours]
            return ours if cgroup is None else cgroup.command(ours)

        with start_worker(
            folder, *arguments, instances=instances, settings=wanted, ready=False, inside=inside
        ) as worker:
            worker.until(
                f"{instances} instances are warm",
                lambda state: state["instances"]["ready"] >= instances,
                seconds=patience,
            )
            found = Target(worker, folder, faults, settings_from(wanted))
            found.loop()
            found.resting = found.resident
            yield found
