"""`memory.perInstance` as a quantity: every process is held to it, on the CPU and on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ocrpool_worker.engine.base import EngineContext
from ocrpool_worker.engine.paddleocr_engine import PaddleOcrEngine
from ocrpool_worker.settings import settings_from
from ocrpool_worker.supervisor.launch import CONTEXT_BYTES, engine_limit
from tests.headroom.engine import CONTEXT
from tests.headroom.pools import GIB, gpu_pool, running, until_settled
from tests.local.harness import MI
from tests.worker.harness import Worker, pids_of, start_worker
from tools.devcluster.fakegpu.device import FakeGpu


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> int:
    """What an instance with the fake engine holds of the RAM when it is warm."""
    with start_worker(tmp_path_factory.mktemp("warm")) as worker:
        (one,) = worker.state()["instances"]["each"]
        return int(one["memory"])


def capped(cap: int) -> dict[str, Any]:
    return {"memory": {"perInstance": cap}}


def resident(worker: Worker) -> int:
    (pid,) = worker.pids()
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def test_on_the_cpu_a_page_a_little_over_it_is_read_and_its_process_replaced(
    tmp_path: Path, warm: int
) -> None:
    cap = warm + 200 * MI
    with start_worker(tmp_path, settings=capped(cap)) as worker:
        (old,) = worker.pids()
        assert worker.read(say="large", grow=210 * MI).text == "large"
        state = worker.until("it is gone", lambda state: old not in pids_of(state))
        assert (state["counters"]["recycled"], state["counters"]["deaths"]) == (1, 0)
        worker.until_ready(1)
        assert resident(worker) < cap


def test_on_the_cpu_a_page_far_over_it_is_refused_the_memory(tmp_path: Path, warm: int) -> None:
    """It fails as out of memory in its own process, before the kernel has to choose a victim."""
    with start_worker(tmp_path, settings=capped(warm + 100 * MI)) as worker:
        answer = worker.read(say="huge", grow=1024 * MI)
        assert (answer.status, answer.reason) == (422, "PoisonPage")
        assert "ran out of memory in two OCR processes" in answer.message
        assert worker.counters()["deaths"] == 0
        assert worker.read(say="small").text == "small"


def test_a_cap_below_what_a_warm_instance_holds_is_a_reason_to_stop(tmp_path: Path) -> None:
    waits = ("--on-failed-start", "wait")
    with start_worker(tmp_path, *waits, settings=capped(MI), ready=False) as worker:
        state = worker.until("it says why", lambda state: state["counters"]["bootFailures"] >= 3)
        assert state["problem"]["reason"] == "InsufficientMemory"
        assert "raise memory.perInstance" in state["problem"]["message"]
        assert not worker.ready


def test_on_a_gpu_each_process_is_held_to_it_and_planned_with_it(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    pool = gpu_pool(vram=2 * GIB)
    pool["memory"] = {"reserve": "1Gi", "perInstance": "3Gi"}
    with running(tmp_path, **pool) as shell:
        until_settled(shell, 5)  # each holds 2.5 GiB, and 3 are kept for it
        assert gpu.charges == [2 * GIB + CONTEXT] * 5
        worker = shell.worker()
        answer = worker.read(say="huge", vram=3 * GIB)
        assert (answer.status, answer.reason) == (422, "PoisonPage")
        assert "ran out of memory in two OCR processes" in answer.message
        assert max(gpu.charges) <= 3 * GIB
        assert worker.read(say="small").text == "small"


def test_paddle_is_given_the_cap_less_the_context() -> None:
    """Its limit counts what it allocates itself; the context it does not see (gpu_info.cc)."""
    settings = settings_from({"device": "gpu:0", "memory": {"perInstance": "3Gi"}})
    guessed, measured = engine_limit(settings, 0), engine_limit(settings, 500 * MI)
    assert (guessed, measured) == (3 * GIB - CONTEXT_BYTES, 3 * GIB - 500 * MI)
    context = EngineContext("gpu:0", {}, {}, cpu_threads=1, memory_limit=measured)
    assert PaddleOcrEngine.environment(context)["FLAGS_gpu_memory_limit_mb"] == "2572"
    free = EngineContext("gpu:0", {}, {}, cpu_threads=1)
    assert "FLAGS_gpu_memory_limit_mb" not in PaddleOcrEngine.environment(free)
