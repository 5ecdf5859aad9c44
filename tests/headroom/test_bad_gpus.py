"""GPUs that are not there, fall off the bus, talk nonsense, or are too small: one line with the
reason, a worker that is not ready, and nothing that is started again and again."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.headroom.pools import FOOTPRINT, GIB, gpu_pool, has_no_room, running
from tests.local.harness import Up, pool_file, run
from tests.worker.client import Worker, wait_for
from tests.worker.harness import start_worker
from tools.devcluster.fakegpu.device import FakeGpu

GPU_IS_LOST = 15
UNKNOWN_ERROR = 999


def said(shell: Up) -> str:
    running = shell.running()
    return running.workers[0].decision if running else ""


def until_said(shell: Up, words: str) -> None:
    wait_for(f"it says {words!r}", lambda: words in said(shell), or_tell=shell.output)


def end(shell: Up) -> tuple[int, str]:
    """The status and last line of an `ocrpool up` that ends by itself."""
    return shell.process.wait(60), shell.output().splitlines()[-1]


def test_a_driver_without_a_gpu_is_one_line(tmp_path: Path, gpus: list[FakeGpu]) -> None:
    empty = tmp_path / "none"
    empty.mkdir()
    file = pool_file(tmp_path, **gpu_pool())
    done = run(tmp_path, "up", "-f", str(file), FAKEGPU_ROOT=str(empty))
    assert done.returncode == 2
    assert done.stderr.startswith("ocrpool: spec.device is gpu, and NVML fails: Driver Not Loaded")
    assert done.stderr.count("\n") == 1


def test_a_gpu_that_is_lost_at_the_start_is_one_line(tmp_path: Path, gpu: FakeGpu) -> None:
    gpu.set_fault(GPU_IS_LOST)
    done = run(tmp_path, "up", "-f", str(pool_file(tmp_path, **gpu_pool())))
    assert done.returncode == 2
    assert "NVML fails: GPU is lost" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_gpu_that_falls_off_the_bus_in_mid_flight(tmp_path: Path, gpu: FakeGpu) -> None:
    """Nothing boots and nothing is given up while it is gone."""
    with running(tmp_path, **gpu_pool(most=2)) as shell:
        worker = shell.worker()
        worker.until_ready(2)
        pids = shell.worker_pids()
        gpu.set_fault(GPU_IS_LOST)
        until_said(shell, "2: hold, the gpu's memory cannot be read: Fake GPU")
        until_said(shell, "is lost: GPU is lost; look at dmesg")
        assert not worker.ready
        state = worker.state()
        assert (state["ready"], state["problem"]["reason"]) == (False, "DeviceLost")
        # Reading needs the GPU: what is under way fails as CUDA does, and no successor boots.
        answer = worker.read(say="x", vram=FOOTPRINT)
        assert (answer.status, answer.reason) in {(503, "Unavailable"), (422, "PoisonPage")}
        boots = worker.counters()["boots"]
        gpu.set_fault(0)
        worker.until_ready(2)
        wait_for("it is ready again", lambda: worker.ready)
        until_said(shell, "2: hold, instances.max is 2")
        assert worker.counters()["boots"] <= boots + 2
        assert shell.worker_pids() == pids


def test_figures_that_cannot_be_true_change_nothing(tmp_path: Path, gpu: FakeGpu) -> None:
    with running(tmp_path, **gpu_pool(most=4)) as shell:
        worker = shell.worker()
        worker.until_ready(4)
        gpu.set_claim(16 * GIB, 20 * GIB)  # more free than there is
        until_said(shell, "bytes free, which is impossible")
        assert said(shell).startswith("4: hold, the gpu's memory cannot be read: NVML (Fake GPU)")
        assert worker.state()["problem"]["reason"] == "DeviceUnreadable"
        assert worker.read(say="still reads").text == "still reads"
        gpu.end_claim()
        until_said(shell, "4: hold, instances.max is 4")
        assert worker.state()["problem"] is None
        assert shell.decisions() == [(1, 2), (2, 3), (3, 4)]


def test_a_reserve_larger_than_the_card_ends_it_with_a_line(tmp_path: Path, gpu: FakeGpu) -> None:
    with running(tmp_path, **gpu_pool() | {"memory": {"reserve": "17Gi"}}) as shell:
        status, line = end(shell)
    assert status == 4
    assert line == (
        f"ocrpool: worker-0 (gpu:{gpu.uuid}) did not start: InsufficientMemory: memory.reserve "
        "(17Gi) leaves nothing of the 16.5Gi of Fake GPU; lower it"
    )


def test_a_footprint_that_does_not_fit_even_once_ends_it_with_a_line(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    gpu.set_total(2 * GIB)
    with running(tmp_path, **gpu_pool()) as shell:
        status, line = end(shell)
    assert status == 4
    assert "did not start: InsufficientMemory: " in line
    assert "Out of memory error on GPU" in line
    assert gpu.used == 0


def test_one_that_fits_only_into_the_reserve_runs_and_is_told_of(
    tmp_path: Path, gpu: FakeGpu
) -> None:
    """The user's least number may use the reserve; it never grows."""
    gpu.set_total(FOOTPRINT + GIB // 2)
    with running(tmp_path, **gpu_pool()) as shell:
        shell.worker().until_ready(1)
        until_said(shell, "1: hold, left 512Mi")
        until_said(shell, "but instances.min is 1")
        assert shell.decisions() == []
        assert not has_no_room(shell)


@pytest.fixture
def pod(tmp_path: Path, gpu: FakeGpu) -> dict[str, Any]:
    """The settings of a worker that stays when its start fails, as in a pod."""
    return {
        "device": f"gpu:{gpu.uuid}",
        "engine": gpu_pool()["engine"],
        "memory": {"reserve": "1Gi", "lookSeconds": 0.1},
    }


def stays_unready(worker: Worker, reason: str) -> str:
    """Its message, once it has given up; it then starts nothing any more."""
    state = worker.until(f"it says {reason}", lambda state: is_told(state, reason))
    failed = state["counters"]["bootFailures"]
    assert not worker.ready
    assert not state["instances"]["each"]
    assert worker.state()["counters"]["bootFailures"] == failed
    answer = worker.read(say="x")
    assert (answer.status, answer.reason) == (503, "Unavailable")
    return str(state["problem"]["message"])


def is_told(state: dict[str, Any], reason: str) -> bool:
    return state["problem"] is not None and state["problem"]["reason"] == reason


def test_in_a_pod_a_reserve_over_the_card_is_a_reason_and_no_loop(
    tmp_path: Path, pod: dict[str, Any]
) -> None:
    settings = pod | {"memory": pod["memory"] | {"reserve": "17Gi"}}
    waits = ("--on-failed-start", "wait")
    with start_worker(tmp_path, *waits, settings=settings, ready=False) as worker:
        assert "memory.reserve (17Gi)" in stays_unready(worker, "InsufficientMemory")
        assert worker.counters()["bootFailures"] == 1


def test_in_a_pod_a_footprint_over_the_card_is_a_reason_and_no_loop(
    tmp_path: Path, pod: dict[str, Any], gpu: FakeGpu
) -> None:
    gpu.set_total(2 * GIB)
    waits = ("--on-failed-start", "wait")
    with start_worker(tmp_path, *waits, settings=pod, ready=False) as worker:
        assert "Out of memory error on GPU" in stays_unready(worker, "InsufficientMemory")
        assert worker.counters()["bootFailures"] == 3


def test_in_a_pod_that_lost_its_access_to_the_gpu_boots_fail_for_the_device(
    tmp_path: Path, pod: dict[str, Any], gpu: FakeGpu
) -> None:
    """As after a reload of the host's systemd: what runs goes on, what is opened anew fails."""
    waits = ("--on-failed-start", "wait")
    with start_worker(tmp_path, *waits, settings=pod) as worker:
        gpu.set_fault(UNKNOWN_ERROR)
        worker.until("it is told", lambda state: is_told(state, "DeviceUnreadable"))
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


def test_in_a_pod_a_boot_whose_reason_nobody_knows_is_the_devices_where_nvml_fails(
    tmp_path: Path, pod: dict[str, Any], gpu: FakeGpu
) -> None:
    boot = {"raise": "RuntimeError:no idea", "once": str(tmp_path / "flag")}
    engine = {"name": "tests.fake_engine:FakeEngine", "options": {"boot": boot}}
    (tmp_path / "flag").touch()
    waits = ("--on-failed-start", "wait")
    with start_worker(tmp_path, *waits, settings=pod | {"engine": engine}) as worker:
        gpu.set_fault(UNKNOWN_ERROR)
        worker.until("it is told", lambda state: is_told(state, "DeviceUnreadable"))
        (tmp_path / "flag").unlink()
        os.kill(worker.pids()[0], signal.SIGKILL)
        worker.until("a boot fails", lambda state: state["counters"]["bootFailures"] == 1)
        failed = [one for one in worker.events() if one.get("event") == "instance failed to boot"]
        assert failed[0]["reason"] == "DeviceError"
        assert "Unknown Error" in failed[0]["why"]
        assert "no idea" in failed[0]["why"]


def test_the_plan_for_a_card_below_the_reserve_says_so(tmp_path: Path, gpu: FakeGpu) -> None:
    gpu.set_total(GIB)
    done = run(tmp_path, "plan", "-f", str(pool_file(tmp_path, **gpu_pool())))
    assert done.returncode == 0
    assert "reserve" in done.stdout.splitlines()[1]
    assert "starts alone" not in done.stdout


def test_the_plan_for_a_gpu_that_talks_nonsense_says_so(tmp_path: Path, gpu: FakeGpu) -> None:
    gpu.set_claim(0, 0)
    file = pool_file(tmp_path, **gpu_pool())
    done = run(tmp_path, "plan", "-f", str(file), "--footprint", "3Gi")
    assert done.returncode == 0
    assert "NVML (Fake GPU) reports 0 of 0 bytes free, which is impossible" in done.stdout
