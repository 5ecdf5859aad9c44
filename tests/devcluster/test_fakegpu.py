"""The fake driver library below the real pynvml, in processes of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.devcluster.fakegpu import device
from tools.devcluster.fakegpu.device import FakeGpu
from tools.devcluster.fakegpu.library import environment

READ = """
import json, pynvml as n
n.nvmlInit()
found = []
for index in range(n.nvmlDeviceGetCount()):
    handle = n.nvmlDeviceGetHandleByIndex(index)
    plain = n.nvmlDeviceGetMemoryInfo(handle)
    v2 = n.nvmlDeviceGetMemoryInfo(handle, version=n.nvmlMemory_v2)
    assert (plain.total, plain.free, plain.used) == (v2.total, v2.free, v2.used)
    uuid = n.nvmlDeviceGetUUID(handle)
    again = n.nvmlDeviceGetIndex(n.nvmlDeviceGetHandleByUUID(uuid))
    found.append([uuid, n.nvmlDeviceGetName(handle), again, plain.total, plain.free])
print(json.dumps(found))
"""
HOLD = """
import ctypes, sys, time
driver = ctypes.CDLL("libnvidia-ml.so.1")
for amount in sys.argv[1:]:
    print(driver.fakegpuCharge(0, ctypes.c_ulonglong(int(amount))), flush=True)
time.sleep(60)
"""


@pytest.fixture
def gpus(tmp_path: Path) -> list[FakeGpu]:
    return device.make_all(tmp_path / "gpus", 2)


def _python(gpus: list[FakeGpu], code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env={**os.environ, **environment(gpus[0].root.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _read(gpus: list[FakeGpu]) -> list[list[object]]:
    process = _python(gpus, READ)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    found: list[list[object]] = json.loads(out)
    return found


def test_pynvml_reads_the_figures_that_a_test_sets(gpus: list[FakeGpu]) -> None:
    gpus[0].set_total(8 << 30)
    gpus[0].set_used(1 << 30)

    first, second = _read(gpus)

    assert first == [gpus[0].uuid, device.NAME, 0, 8 << 30, 7 << 30]
    assert second == [gpus[1].uuid, device.NAME, 1, device.TOTAL, device.TOTAL]


def test_a_charge_ends_with_its_process(gpus: list[FakeGpu]) -> None:
    holder = _python(gpus, HOLD, str(3 << 30))
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "0\n"
        assert gpus[0].used == 3 << 30
        assert _read(gpus)[0][4] == device.TOTAL - (3 << 30)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert gpus[0].used == 0
    assert _read(gpus)[0][4] == device.TOTAL


def test_a_charge_over_the_total_is_refused_and_changes_nothing(gpus: list[FakeGpu]) -> None:
    gpus[0].set_total(4 << 30)
    gpus[0].set_used(1 << 30)
    holder = _python(gpus, HOLD, str(2 << 30), str(4 << 30), str(3 << 30))
    try:
        assert holder.stdout is not None
        assert [holder.stdout.readline() for _ in range(3)] == ["0\n", "1\n", "0\n"]
        assert gpus[0].charges == [3 << 30]
    finally:
        holder.kill()
        holder.communicate()


def test_two_processes_at_once_never_hold_more_than_there_is(gpus: list[FakeGpu]) -> None:
    holders = [_python(gpus, HOLD, str(3 << 30)) for _ in range(8)]
    try:
        answers = [holder.stdout.readline() for holder in holders if holder.stdout]
        assert sorted(answers) == ["0\n"] * 5 + ["1\n"] * 3
        time.sleep(0.1)
        assert gpus[0].used == 15 << 30
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()


def test_without_devices_there_is_no_driver(tmp_path: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import pynvml; pynvml.nvmlInit()"],
        env={**os.environ, **environment(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "NVMLError_DriverNotLoaded" in gone.stderr


def _ask(gpus: list[FakeGpu], code: str) -> str:
    process = _python(gpus, f"import pynvml as n\nn.nvmlInit()\n{code}")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    return out.strip()


def test_a_lost_gpu_reports_an_error_until_it_is_back(gpus: list[FakeGpu]) -> None:
    look = "n.nvmlDeviceGetMemoryInfo(n.nvmlDeviceGetHandleByIndex(0))"
    seen = (
        f"try:\n    print({look}.total)\nexcept n.NVMLError_GpuIsLost as error:\n    print(error)"
    )
    gpus[0].set_fault(15)
    assert _ask(gpus, seen) == "GPU is lost"
    gpus[0].set_fault(0)
    assert _ask(gpus, seen) == str(device.TOTAL)


def test_it_reports_claimed_figures(gpus: list[FakeGpu]) -> None:
    look = "found = n.nvmlDeviceGetMemoryInfo(n.nvmlDeviceGetHandleByIndex(0))"
    gpus[0].set_claim(1000, 2000)
    assert _ask(gpus, f"{look}; print(found.total, found.free)") == "1000 2000"
    gpus[0].end_claim()
    assert _ask(gpus, f"{look}; print(found.free)") == str(device.TOTAL)


SLICES = """
gpu = n.nvmlDeviceGetHandleByIndex(0)
try:
    n.nvmlDeviceGetMemoryInfo(gpu)
except n.NVMLError_NoPermission:
    print("refused")
assert n.nvmlDeviceGetMigMode(gpu)[0] == n.NVML_DEVICE_MIG_ENABLE
assert n.nvmlDeviceGetMigMode(n.nvmlDeviceGetHandleByIndex(1))[0] == 0
for index in range(n.nvmlDeviceGetMaxMigDeviceCount(gpu)):
    try:
        found = n.nvmlDeviceGetMigDeviceHandleByIndex(gpu, index)
    except n.NVMLError_NotFound:
        continue
    uuid = n.nvmlDeviceGetUUID(found)
    again = n.nvmlDeviceGetHandleByUUID(uuid)
    print(uuid, n.nvmlDeviceGetMemoryInfo(again).free)
"""


def test_in_mig_mode_slices_report_memory_and_the_gpu_does_not(gpus: list[FakeGpu]) -> None:
    small, large = gpus[0].slice_up(5 << 30, 10 << 30)
    large.set_used(1 << 30)
    assert _ask(gpus, SLICES).splitlines() == [
        "refused",
        f"{small.uuid} {5 << 30}",
        f"{large.uuid} {9 << 30}",
    ]
