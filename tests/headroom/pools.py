"""Pools of the fake engine on fake GPUs, and what tests wait for."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.headroom.engine import CONTEXT
from tests.local.harness import Up, up
from tests.worker.client import wait_for

GIB = 1 << 30
ENGINE = "tests.headroom.engine:FakeGpuEngine"
# What one instance holds of the GPU: context and all.
FOOTPRINT = 3 * GIB


def gpu_pool(most: int = 8, **options: Any) -> dict[str, Any]:
    """Instances of 3 GiB each, a reserve of 1 GiB."""
    return {
        "device": "gpu",
        "instances": {"min": 1, "max": most},
        "engine": {"name": ENGINE, "options": {"vram": FOOTPRINT - CONTEXT, **options}},
        "memory": {"reserve": "1Gi"},
    }


@contextlib.contextmanager
def running(folder: Path, name: str = "test", **spec: Any) -> Iterator[Up]:
    """`ocrpool up` that looks every 0.2 s and cools down within 2 s or three."""
    with up(folder, "--interval", "0.2", "--cool-down", "2", name=name, **spec) as shell:
        yield shell


def until_settled(shell: Up, instances: int, *, worker: str = "worker-0") -> dict[str, Any]:
    """Wait until a worker has so many warm instances and holds for a reason that stays."""
    state = shell.worker(worker).until_ready(instances)
    wait_for(
        f"{worker} holds {instances}",
        lambda: has_no_room(shell, worker, instances),
        or_tell=shell.output,
    )
    return state


def has_no_room(shell: Up, worker: str = "worker-0", instances: int | None = None) -> bool:
    """Whether a worker, with so many instances, holds because one more would not fit."""
    running = shell.running()
    said = {each.name: each.decision for each in running.workers} if running else {}
    number = r"\d+" if instances is None else str(instances)
    return re.match(rf"{number}: hold, headroom .* < ", said.get(worker, "")) is not None
