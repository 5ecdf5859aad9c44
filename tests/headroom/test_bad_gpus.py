"""GPUs that are missing, lost, too small or that report impossible figures: one line with the
reason, a worker that is not ready, and no restart loop."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.headroom.pools import FOOTPRINT, GIB, gpu_pool, is_full, running
from tests.local.harness import Up, pool_file, run
from tests.worker.client import Worker, wait_for
from tests.worker.harness import start_worker
from tools.devcluster.fakegpu.device import FakeGpu

GPU_IS_LOST = 15
UNKNOWN_ERROR = 999


def decision_of(local_pool: Up) -> str:
    running = local_pool.running()
    return running.workers[0].decision if running else ""


def until_decision(local_pool: Up, text: str) -> None:
    wait_for(
        f"the decision contains {text!r}",
        lambda: text in decision_of(local_pool),
        or_tell=local_pool.output,
    )


def wait_for_end(local_pool: Up) -> tuple[int, str]:
    """The exit status and last line of an `ocrpool up` that ends by itself."""
    return local_pool.process.wait(60), local_pool.output().splitlines()[-1]


def test_a_driver_without_a_gpu_is_reported_in_one_line(
    tmp_path: Path, gpus: list[FakeGpu]
) -> None:
    empty = tmp_path / "none"
    empty.mkdir()
    file = pool_file(tmp_path, **gpu_pool())
    done = run(tmp_path, "up", "-f", str(file), FAKEGPU_ROOT=str(empty))
    assert done.returncode == 2
    assert done.stderr.startswith("ocrpool: spec.device is gpu, and NVML fails: Driver Not Loaded")
    assert done.stderr.count("\n") == 1


def test_a_gpu_that_is_lost_at_the_start_is_reported_in_one_line(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    gpu.set_fault(GPU_IS_LOST)
    done = run(tmp_path, "up", "-f", str(pool_file(tmp_path, **gpu_pool())))
    assert done.returncode == 2
    assert "NVML fails: GPU is lost" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_gpu_that_is_lost_while_running_makes_the_worker_unready_until_it_is_back(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    """No instance starts and none is removed while the GPU is lost."""
    with running(tmp_path, **gpu_pool(most=2)) as local_pool:
        worker = local_pool.worker()
        worker.until_ready(2)
        pids = local_pool.worker_pids()
        gpu.set_fault(GPU_IS_LOST)
        until_decision(local_pool, "2: hold, the gpu's memory cannot be read: Fake GPU")
        until_decision(local_pool, "is lost: GPU is lost; look at dmesg")
        assert not worker.ready
        state = worker.state()
        assert (state["ready"], state["problem"]["reason"]) == (False, "DeviceLost")
        # Reading needs the GPU: a page fails as CUDA would, and no replacement starts.
        answer = worker.read(say="x", vram=FOOTPRINT)
        assert (answer.status, answer.reason) in {(503, "Unavailable"), (422, "PoisonPage")}
        boots = worker.counters()["boots"]
        gpu.set_fault(0)
        worker.until_ready(2)
        wait_for("it is ready again", lambda: worker.ready)
        until_decision(local_pool, "2: hold, instances.max is 2")
        assert worker.counters()["boots"] <= boots + 2
        assert local_pool.worker_pids() == pids


def test_impossible_memory_figures_change_nothing(tmp_path: Path, gpu: FakeGpu) -> None:
    with running(tmp_path, **gpu_pool(most=4)) as local_pool:
        worker = local_pool.worker()
        worker.until_ready(4)
        gpu.set_claim(16 * GIB, 20 * GIB)  # more free than the total
        until_decision(local_pool, "bytes free, which is impossible")
        assert decision_of(local_pool).startswith(
            "4: hold, the gpu's memory cannot be read: NVML (Fake GPU)"
        )
        assert worker.state()["problem"]["reason"] == "DeviceUnreadable"
        assert worker.read(say="still reads").text == "still reads"
        gpu.end_claim()
        until_decision(local_pool, "4: hold, instances.max is 4")
        assert worker.state()["problem"] is None
        assert local_pool.decisions() == [(1, 2), (2, 3), (3, 4)]


def test_a_reserve_above_the_gpus_memory_ends_it_with_one_line(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    with running(tmp_path, **gpu_pool() | {"memory": {"reserve": "17Gi"}}) as local_pool:
        status, line = wait_for_end(local_pool)
    assert status == 4
    assert line == (
        f"ocrpool: worker-0 (gpu:{gpu.uuid}) did not start: InsufficientMemory: memory.reserve "
        "(17Gi) leaves nothing of the 16.5Gi of Fake GPU; lower it"
    )


def test_an_instance_that_does_not_fit_ends_it_with_one_line(tmp_path: Path, gpu: FakeGpu) -> None:
    gpu.set_total(2 * GIB)
    with running(tmp_path, **gpu_pool()) as local_pool:
        status, line = wait_for_end(local_pool)
    assert status == 4
    assert "did not start: InsufficientMemory: " in line
    assert "Out of memory error on GPU" in line
    assert gpu.used == 0


def test_an_instance_that_needs_the_reserve_runs_and_is_reported(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    """The minimum of instances may use the reserve; the worker does not grow."""
    gpu.set_total(FOOTPRINT + GIB // 2)
    with running(tmp_path, **gpu_pool()) as local_pool:
        local_pool.worker().until_ready(1)
        until_decision(local_pool, "1: hold, left 512Mi")
        until_decision(local_pool, "but instances.min is 1")
        assert local_pool.decisions() == []
        assert not is_full(local_pool)


@pytest.fixture
def pod(tmp_path: Path, gpu: FakeGpu) -> dict[str, Any]:
    """The settings of a worker that keeps running when its start fails, as in a pod."""
    return {
        "device": f"gpu:{gpu.uuid}",
        "engine": gpu_pool()["engine"],
        "memory": {"reserve": "1Gi", "pollSeconds": 0.1},
    }


def stays_unready(worker: Worker, reason: str) -> str:
    """Wait until the worker gives up; return its message. It starts no instance after that."""
    state = worker.until(f"it reports {reason}", lambda state: has_problem(state, reason))
    failed = state["counters"]["bootFailures"]
    assert not worker.ready
    assert not state["instances"]["each"]
    assert worker.state()["counters"]["bootFailures"] == failed
    answer = worker.read(say="x")
    assert (answer.status, answer.reason) == (503, "Unavailable")
    return str(state["problem"]["message"])


def has_problem(state: dict[str, Any], reason: str) -> bool:
    return state["problem"] is not None and state["problem"]["reason"] == reason


def test_in_a_pod_a_reserve_above_the_gpus_memory_is_reported_without_restarts(
    tmp_path: Path, pod: dict[str, Any]
) -> None:
    settings = pod | {"memory": pod["memory"] | {"reserve": "17Gi"}}
    waits = ("--on-failed-start", "wait")
    with start_worker(tmp_path, *waits, settings=settings, ready=False) as worker:
        assert "memory.reserve (17Gi)" in stays_unready(worker, "InsufficientMemory")
        assert worker.counters()["bootFailures"] == 1


def test_in_a_pod_an_instance_that_does_not_fit_is_reported_after_three_starts(
    tmp_path: Path, pod: dict[str, Any], gpu: FakeGpu
) -> None:
    gpu.set_total(2 * GIB)
    waits = ("--on-failed-start", "wait")
    with start_worker(tmp_path, *waits, settings=pod, ready=False) as worker:
        assert "Out of memory error on GPU" in stays_unready(worker, "InsufficientMemory")
        assert worker.counters()["bootFailures"] == 3


def test_in_a_pod_without_access_to_the_gpu_starts_fail_with_device_error(
    tmp_path: Path, pod: dict[str, Any], gpu: FakeGpu
) -> None:
    """As after a reload of the host's systemd: open devices keep working, new opens fail."""
    waits = ("--on-failed-start", "wait")
    with start_worker(tmp_path, *waits, settings=pod) as worker:
        gpu.set_fault(UNKNOWN_ERROR)
        worker.until("it is reported", lambda state: has_problem(state, "DeviceUnreadable"))
        assert worker.ready, "its instance still reads"
        assert worker.read(say="still here").text == "still here"
        os.kill(worker.pids()[0], signal.SIGKILL)
        message = stays_unready(worker, "DeviceError")
        assert "Unknown Error" in message
        probe = worker.control("GET", "/readyz")
        assert probe.body.startswith(b"DeviceError: "), probe
        assert worker.counters()["bootFailures"] == 3

        gpu.set_fault(0)
        worker.until_ready(1)
        assert worker.ready


def test_in_a_pod_a_failed_start_is_a_device_error_while_nvml_fails(
    tmp_path: Path, pod: dict[str, Any], gpu: FakeGpu
) -> None:
    boot = {"raise": "RuntimeError:no idea", "once": str(tmp_path / "flag")}
    engine = {"name": "tests.fake_engine:FakeEngine", "options": {"boot": boot}}
    (tmp_path / "flag").touch()
    waits = ("--on-failed-start", "wait")
    with start_worker(tmp_path, *waits, settings=pod | {"engine": engine}) as worker:
        gpu.set_fault(UNKNOWN_ERROR)
        worker.until("it is reported", lambda state: has_problem(state, "DeviceUnreadable"))
        (tmp_path / "flag").unlink()
        os.kill(worker.pids()[0], signal.SIGKILL)
        worker.until("a boot fails", lambda state: state["counters"]["bootFailures"] == 1)
        failed = [one for one in worker.events() if one.get("event") == "instance failed to boot"]
        assert failed[0]["reason"] == "DeviceError"
        assert "Unknown Error" in failed[0]["why"]
        assert "no idea" in failed[0]["why"]


def test_the_plan_for_a_gpu_below_the_reserve_names_the_reserve(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    gpu.set_total(GIB)
    done = run(tmp_path, "plan", "-f", str(pool_file(tmp_path, **gpu_pool())))
    assert done.returncode == 0
    assert "reserve" in done.stdout.splitlines()[1]
    assert "starts alone" not in done.stdout


def test_the_plan_reports_impossible_memory_figures(tmp_path: Path, gpu: FakeGpu) -> None:
    gpu.set_claim(0, 0)
    file = pool_file(tmp_path, **gpu_pool())
    done = run(tmp_path, "plan", "-f", str(file), "--footprint", "3Gi")
    assert done.returncode == 0
    assert "NVML (Fake GPU) reports 0 of 0 bytes free, which is impossible" in done.stdout
