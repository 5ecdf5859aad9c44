"""`memory.perInstance` as a quantity limits every instance process, on the CPU and on a GPU."""

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
    """Bytes of RAM of a warm instance with the fake engine."""
    with start_worker(tmp_path_factory.mktemp("warm")) as worker:
        (one,) = worker.state()["instances"]["each"]
        return int(one["memory"])


def with_limit(limit: int) -> dict[str, Any]:
    return {"memory": {"perInstance": limit}}


def resident(worker: Worker) -> int:
    (pid,) = worker.pids()
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def test_on_the_cpu_a_page_slightly_above_the_limit_is_read_and_its_process_replaced(
    tmp_path: Path, warm: int
) -> None:
    limit = warm + 200 * MI
    with start_worker(tmp_path, settings=with_limit(limit)) as worker:
        (old,) = worker.pids()
        assert worker.read(say="large", grow=210 * MI).text == "large"
        state = worker.until("the process is replaced", lambda state: old not in pids_of(state))
        assert (state["counters"]["recycled"], state["counters"]["deaths"]) == (1, 0)
        worker.until_ready(1)
        assert resident(worker) < limit


def test_on_the_cpu_a_page_far_above_the_limit_runs_out_of_memory(
    tmp_path: Path, warm: int
) -> None:
    """The allocation fails in its own process, before the kernel kills any process."""
    with start_worker(tmp_path, settings=with_limit(warm + 100 * MI)) as worker:
        answer = worker.read(say="huge", grow=1024 * MI)
        assert (answer.status, answer.reason) == (422, "PoisonPage")
        assert "ran out of memory in two OCR processes" in answer.message
        assert worker.counters()["deaths"] == 0
        assert worker.read(say="small").text == "small"


def test_a_limit_below_a_warm_instance_stops_the_worker_with_a_reason(tmp_path: Path) -> None:
    waits = ("--on-failed-start", "wait")
    with start_worker(tmp_path, *waits, settings=with_limit(MI), ready=False) as worker:
        state = worker.until("it reports why", lambda state: state["counters"]["bootFailures"] >= 3)
        assert state["problem"]["reason"] == "InsufficientMemory"
        assert "raise memory.perInstance" in state["problem"]["message"]
        assert not worker.ready


def test_on_a_gpu_the_limit_holds_for_each_process_and_for_the_plan(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    pool = gpu_pool(vram=2 * GIB)
    pool["memory"] = {"reserve": "1Gi", "perInstance": "3Gi"}
    with running(tmp_path, **pool) as local_pool:
        until_settled(local_pool, 5)  # each holds 2.5 GiB, and the plan counts 3
        assert gpu.charges == [2 * GIB + CONTEXT] * 5
        worker = local_pool.worker()
        answer = worker.read(say="huge", vram=3 * GIB)
        assert (answer.status, answer.reason) == (422, "PoisonPage")
        assert "ran out of memory in two OCR processes" in answer.message
        assert max(gpu.charges) <= 3 * GIB
        assert worker.read(say="small").text == "small"


def test_paddle_gets_the_limit_without_the_context() -> None:
    """Paddle's limit counts its own allocations; it does not see the context (gpu_info.cc)."""
    settings = settings_from({"device": "gpu:0", "memory": {"perInstance": "3Gi"}})
    guessed, measured = engine_limit(settings, 0), engine_limit(settings, 500 * MI)
    assert (guessed, measured) == (3 * GIB - CONTEXT_BYTES, 3 * GIB - 500 * MI)
    context = EngineContext("gpu:0", {}, {}, cpu_threads=1, memory_limit=measured)
    assert PaddleOcrEngine.environment(context)["FLAGS_gpu_memory_limit_mb"] == "2572"
    free = EngineContext("gpu:0", {}, {}, cpu_threads=1)
    assert "FLAGS_gpu_memory_limit_mb" not in PaddleOcrEngine.environment(free)
