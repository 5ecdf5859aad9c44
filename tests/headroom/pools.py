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
# Bytes of the GPU that one instance holds, with its context.
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
    """`ocrpool up` with an interval of 0.2 s and a cool-down of 2 s."""
    with up(folder, "--interval", "0.2", "--cool-down", "2", name=name, **spec) as local_pool:
        yield local_pool


def until_settled(local_pool: Up, instances: int, *, worker: str = "worker-0") -> dict[str, Any]:
    """Wait until a worker has so many warm instances and one more does not fit."""
    state = local_pool.worker(worker).until_ready(instances)
    wait_for(
        f"{worker} holds {instances}",
        lambda: is_full(local_pool, worker, instances),
        or_tell=local_pool.output,
    )
    return state


def is_full(local_pool: Up, worker: str = "worker-0", instances: int | None = None) -> bool:
    """Whether a worker keeps its number of instances because one more does not fit."""
    running = local_pool.running()
    decisions = {each.name: each.decision for each in running.workers} if running else {}
    number = r"\d+" if instances is None else str(instances)
    return re.match(rf"{number}: hold, headroom .* < ", decisions.get(worker, "")) is not None
