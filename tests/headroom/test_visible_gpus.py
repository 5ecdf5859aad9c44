"""`gpu`, `gpu:0` and `gpu:UUID` name the same GPU as in CUDA, and an instance gets only that GPU.

Real: pynvml, the worker, its instances. Fake: the driver below pynvml, and the engine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.headroom.pools import GIB, gpu_pool, running
from tests.local.harness import pool_file, run
from tests.worker.harness import ROOT, start_worker
from tools.devcluster.fakegpu import device
from tools.devcluster.fakegpu.device import FakeGpu
from tools.devcluster.fakegpu.library import environment

# For every [device, environment]: the UUID that is found, or the sentence why none is found.
FIND = """
import json, sys
from ocrpool_worker.devices import NvmlProbe
from ocrpool_worker.errors import SettingsError
for which, given in json.load(sys.stdin):
    try:
        print(json.dumps(NvmlProbe(which, given).identity().uuid))
    except SettingsError as error:
        print(json.dumps(str(error)))
"""


class FakeMachine:
    """Four GPUs, the last of which is cut into two slices."""

    def __init__(self, folder: Path) -> None:
        self.gpus = device.make_all(folder, 4)
        self.slices = self.gpus[3].slice_up(5 * GIB, 11 * GIB)
        self._folder = folder

    def find(self, *cases: tuple[str, str | None], order: str | None = None) -> list[str]:
        """The UUID or the error for each (device, CUDA_VISIBLE_DEVICES)."""
        given = [(which, self._given(visible, order)) for which, visible in cases]
        done = subprocess.run(
            [sys.executable, "-c", FIND],
            cwd=ROOT,
            env=os.environ | environment(self._folder),
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    @staticmethod
    def _given(visible: str | None, order: str | None) -> dict[str, str]:
        both = {"CUDA_VISIBLE_DEVICES": visible, "CUDA_DEVICE_ORDER": order}
        return {name: value for name, value in both.items() if value is not None}


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path / "gpus")


def test_a_number_counts_the_visible_gpus(machine: FakeMachine) -> None:
    a, b, c, _ = uuids = [gpu.uuid for gpu in machine.gpus]
    cases = {
        ("0", None): a,
        ("2", None): c,
        ("0", "2,1"): c,
        ("1", "2,1"): b,
        ("0", " 1 , 0"): b,
        ("", "1"): b,
        ("0", f"{c},0"): c,
        ("1", f"{c},0"): a,
        ("0", c[:12]): c,
        ("", "0,0"): a,
        ("0", "1,9,2"): b,  # entries after an invalid one are not visible
        (b, "1,2"): b,
        (b[:12], "1,2"): b,
        (uuids[0], None): a,
    }
    assert machine.find(*cases) == list(cases.values())


def test_mig_slices_are_named_by_uuid_or_found_through_their_gpu(machine: FakeMachine) -> None:
    one, two = (each.uuid for each in machine.slices)
    cases = {
        ("", one): one,
        ("0", f"{two},{one}"): two,
        ("1", f"0,{one}"): one,
        (two, None): two,
        (two, "3"): two,
        (two, machine.gpus[3].uuid): two,
    }
    assert machine.find(*cases) == list(cases.values())
    cut, by_uuid = machine.find(("0", "3"), (machine.gpus[3].uuid, None))
    assert cut.startswith("device: gpu:0 is in MIG mode and has 2 slices")
    assert by_uuid.startswith(f"device: gpu:{machine.gpus[3].uuid} is in MIG mode")


def test_an_invisible_gpu_is_an_error_that_names_the_variable(machine: FakeMachine) -> None:
    c, mig = machine.gpus[2].uuid, machine.slices[0].uuid
    cases = {
        ("2", "2,1"): "CUDA_VISIBLE_DEVICES leaves 2 (it is '2,1')",
        (c, "0,1"): "CUDA_VISIBLE_DEVICES leaves 2 (it is '0,1')",
        (mig, "0"): "CUDA_VISIBLE_DEVICES leaves 1 (it is '0')",
        ("", ""): "CUDA_VISIBLE_DEVICES leaves none (it is ''; an empty entry names no GPU)",
        ("0", ""): "CUDA_VISIBLE_DEVICES leaves none (it is ''",
        ("0", "NoDevFiles"): "leaves none (it is 'NoDevFiles'; 'NoDevFiles' names no GPU)",
        ("0", "-1"): "CUDA_VISIBLE_DEVICES leaves none (it is '-1'; '-1' names no GPU)",
        ("0", "GPU-"): "leaves none (it is 'GPU-'; 4 UUIDs begin with GPU-)",
        ("1", "1,9,2"): "leaves 1 (it is '1,9,2'; there is no number 9)",
        ("0", "MIG-none"): "leaves none (it is 'MIG-none'; no UUID begins with MIG-none)",
        ("4", None): "there is no number 4; this machine has 4",
    }
    for found, expected in zip(machine.find(*cases), cases.values(), strict=True):
        assert expected in found
        assert found.startswith("device: gpu")
        assert "use device: cpu" in found
        assert "\n" not in found
    (several,) = machine.find(("", "0,1"))
    assert several.startswith("device: gpu does not say which of the 2 GPUs that are visible here")


def test_numbers_follow_the_pci_bus_and_not_the_driver(machine: FakeMachine) -> None:
    for gpu, bus in zip(machine.gpus, (9, 3, 7, 5), strict=True):
        gpu.set_bus(bus)
    by_bus = [machine.gpus[at].uuid for at in (1, 2, 0)]
    assert machine.find(("0", None), ("2", None), ("", "3")) == [by_bus[0], by_bus[1], by_bus[2]]


def test_fastest_first_is_supported_where_all_gpus_are_equal(machine: FakeMachine) -> None:
    fastest = "FASTEST_FIRST"
    first = machine.gpus[0].uuid
    assert machine.find(("0", "0"), ("0", first), order=fastest) == [first, first]
    machine.gpus[1].set_name("A faster one")
    found, named = machine.find(("0", "0"), ("0", first), order=fastest)
    assert "only CUDA knows" in found
    assert "CUDA_DEVICE_ORDER=PCI_BUS_ID" in found
    assert named == first
    assert machine.find(("0", "0"), order="PCI_BUS_ID") == [first]


def test_a_lost_gpu_keeps_its_number_and_others_stay_usable(machine: FakeMachine) -> None:
    a, b, c, _ = (gpu.uuid for gpu in machine.gpus)
    machine.gpus[1].set_fault(15)
    cases = {("0", None): a, ("0", "2,1"): c, (c, None): c, ("", c): c, ("1", "0,2"): c}
    assert machine.find(*cases) == list(cases.values())
    for found in machine.find(("1", None), ("0", "1"), (b, None), ("0", b)):
        assert "GPU is lost" in found


def environment_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


@pytest.mark.parametrize("setting", ["gpu:0", "gpu", "gpu:{uuid}"])
def test_an_instance_gets_the_gpu_that_the_scheduler_assigned(
    tmp_path: Path, gpus: list[FakeGpu], monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """Another job uses the first GPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    ours = gpus[1]
    settings: dict[str, Any] = {
        "device": setting.format(uuid=ours.uuid),
        "engine": gpu_pool()["engine"],
        "memory": {"reserve": "1Gi"},
    }
    with start_worker(tmp_path, settings=settings) as worker:
        state = worker.state()
        assert state["device"]["uuid"] == ours.uuid
        assert (len(gpus[0].charges), len(ours.charges)) == (0, 1)
        given = environment_of(state["instances"]["each"][0]["pid"])
    assert given["CUDA_VISIBLE_DEVICES"] == ours.uuid
    assert given["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_ocrpool_up_uses_only_visible_gpus(
    tmp_path: Path, gpus: list[FakeGpu], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with running(tmp_path, **gpu_pool(most=1)) as local_pool:
        worker = local_pool.worker()
        worker.until_ready(1)
        found = local_pool.running()
        assert found is not None
        assert [each.device for each in found.workers] == [f"gpu:{gpus[1].uuid}"]
        assert (len(gpus[0].charges), len(gpus[1].charges)) == (0, 1)


def test_ocrpool_up_without_a_visible_gpu_fails_with_one_line(
    tmp_path: Path, gpus: list[FakeGpu]
) -> None:
    assert gpus
    file = pool_file(tmp_path, **gpu_pool())
    done = run(tmp_path, "up", "-f", str(file), CUDA_VISIBLE_DEVICES="5")
    assert done.returncode == 2
    assert done.stderr == (
        "ocrpool: spec.device is gpu, and CUDA_VISIBLE_DEVICES leaves none (it is '5'; there is no "
        "number 5); use --device cpu\n"
    )
