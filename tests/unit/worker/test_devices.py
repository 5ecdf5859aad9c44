"""The memory and cores of a device: RAM from the kernel's files, GPUs through NVML."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ocrpool_worker.devices import NvmlProbe, RamProbe, probe_for
from ocrpool_worker.devices.cores import usable_cores
from ocrpool_worker.devices.snapshot import checked_snapshot
from ocrpool_worker.errors import SettingsError
from ocrpool_worker.settings import WorkerSettings
from ocrpool_worker.supervisor.launch import cpu_threads

KIB = 1024
MEMINFO = "MemTotal:       8000 kB\nMemFree:  100 kB\nMemAvailable:   5000 kB\nHugePages_Total: 0\n"


def root(folder: Path, **files: str) -> Path:
    """A root folder with the given files under proc and sys/fs/cgroup (`__` for `/`)."""
    for name, text in ({"proc__meminfo": MEMINFO} | files).items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def measured(folder: Path) -> tuple[int, int, int] | None:
    memory = RamProbe(folder).observe().memory
    return None if memory is None else (memory.total, memory.used, memory.free)


V2 = "sys__fs__cgroup__memory."
V1 = "sys__fs__cgroup__memory__memory."


def test_without_a_limit_it_is_what_the_host_has(tmp_path: Path) -> None:
    assert measured(root(tmp_path)) == (8000 * KIB, 3000 * KIB, 5000 * KIB)


def test_cgroup_v2_without_a_limit_is_the_host(tmp_path: Path) -> None:
    folder = root(tmp_path, **{V2 + "max": "max\n", V2 + "current": "1000\n"})
    assert measured(folder) == (8000 * KIB, 3000 * KIB, 5000 * KIB)


def test_cgroup_v2_with_a_limit(tmp_path: Path) -> None:
    stat = f"anon 5\nfile 9\ninactive_file {100 * KIB}\nactive_file 3\n"
    folder = root(
        tmp_path,
        **{V2 + "max": f"{2000 * KIB}\n", V2 + "current": f"{600 * KIB}\n", V2 + "stat": stat},
    )
    assert measured(folder) == (2000 * KIB, 500 * KIB, 1500 * KIB)


def test_cgroup_v1_with_a_limit(tmp_path: Path) -> None:
    stat = f"inactive_file 1\ntotal_inactive_file {100 * KIB}\n"
    folder = root(
        tmp_path,
        **{
            V1 + "limit_in_bytes": f"{2000 * KIB}\n",
            V1 + "usage_in_bytes": f"{600 * KIB}\n",
            V1 + "stat": stat,
        },
    )
    assert measured(folder) == (2000 * KIB, 500 * KIB, 1500 * KIB)


def test_cgroup_v1_without_a_limit_is_the_host(tmp_path: Path) -> None:
    nearly_all = str(2**63 - 4096)
    folder = root(tmp_path, **{V1 + "limit_in_bytes": nearly_all, V1 + "usage_in_bytes": "5"})
    assert measured(folder) == (8000 * KIB, 3000 * KIB, 5000 * KIB)


V1_OURS = "sys__fs__cgroup__memory__jobs__ours__memory."
V2_OURS = "sys__fs__cgroup__jobs__ours__memory."


def test_the_limit_of_our_own_cgroup_is_found(tmp_path: Path) -> None:
    """On a host, outside any container, in the cgroup of a unit or a job."""
    v1 = root(
        tmp_path / "v1",
        proc__self__cgroup="5:cpu:/\n4:memory:/jobs/ours\n0::/\n",
        **{
            V1_OURS + "limit_in_bytes": f"{4000 * KIB}",
            V1_OURS + "usage_in_bytes": f"{1000 * KIB}",
        },
    )
    assert measured(v1) == (4000 * KIB, 1000 * KIB, 3000 * KIB)
    v2 = root(
        tmp_path / "v2",
        proc__self__cgroup="0::/jobs/ours\n",
        **{V2_OURS + "max": f"{2000 * KIB}", V2_OURS + "current": f"{500 * KIB}"},
    )
    assert measured(v2) == (2000 * KIB, 500 * KIB, 1500 * KIB)


def test_limits_of_ancestor_cgroups_apply(tmp_path: Path) -> None:
    above = "sys__fs__cgroup__jobs__memory."
    folder = root(
        tmp_path,
        proc__self__cgroup="0::/jobs/ours\n",
        **{
            V2_OURS + "max": f"{2000 * KIB}",
            V2_OURS + "current": f"{500 * KIB}",
            above + "max": f"{2500 * KIB}",
            above + "current": f"{2400 * KIB}",
        },
    )
    assert measured(folder) == (2000 * KIB, 1900 * KIB, 100 * KIB)


CPU_V2 = "sys__fs__cgroup__cpu."
CPU_V1 = "sys__fs__cgroup__cpu__cpu."


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({CPU_V2 + "max": "max 100000\n"}, 8),
        ({CPU_V2 + "max": "250000 100000\n"}, 2.5),
        ({CPU_V2 + "max": "1600000 100000\n"}, 8),
        ({CPU_V2 + "max": "garbage\n"}, 8),
        ({CPU_V1 + "cfs_quota_us": "-1\n", CPU_V1 + "cfs_period_us": "100000\n"}, 8),
        ({CPU_V1 + "cfs_quota_us": "50000\n", CPU_V1 + "cfs_period_us": "100000\n"}, 0.5),
    ],
)
def test_cores_are_those_of_the_mask_or_of_a_containers_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: float
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert usable_cores(root(tmp_path, **files)) == cores


def test_an_instance_gets_its_share_of_the_cores() -> None:
    settings = WorkerSettings.model_validate({"engine": {"name": "noop"}})
    asked = {"engine": {"name": "noop", "options": {"cpu_threads": 3}}}
    threads = [cpu_threads(settings, 8, count) for count in (1, 2, 3, 8, 9)]

    assert threads == [8, 4, 2, 1, 1]
    assert cpu_threads(settings, 0.5, 1) == 1
    assert cpu_threads(WorkerSettings.model_validate(asked), 8, 1) == 3


def test_a_cgroup_path_of_the_host_sets_no_limit(tmp_path: Path) -> None:
    """In a container without a cgroup namespace, the mount is the container's own cgroup."""
    folder = root(
        tmp_path,
        proc__self__cgroup="4:memory:/docker/abc\n",
        **{V1 + "limit_in_bytes": f"{2000 * KIB}", V1 + "usage_in_bytes": f"{500 * KIB}"},
    )
    assert measured(folder) == (2000 * KIB, 500 * KIB, 1500 * KIB)


def test_a_limit_above_the_hosts_memory_is_capped(tmp_path: Path) -> None:
    folder = root(tmp_path, **{V2 + "max": f"{7000 * KIB}", V2 + "current": f"{100 * KIB}"})
    assert measured(folder) == (7000 * KIB, 2000 * KIB, 5000 * KIB)


def test_over_the_limit_nothing_is_free(tmp_path: Path) -> None:
    folder = root(tmp_path, **{V2 + "max": f"{500 * KIB}", V2 + "current": f"{600 * KIB}"})
    assert measured(folder) == (500 * KIB, 500 * KIB, 0)


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB\n", "garbage\n", "MemTotal: x kB\n\xff"])
def test_a_kernel_without_memory_figures_is_a_problem(tmp_path: Path, text: str) -> None:
    look = RamProbe(root(tmp_path, proc__meminfo=text)).observe()
    assert look.memory is None
    assert look.problem is not None
    assert look.problem.reason == "DeviceUnreadable"


def test_missing_proc_files_are_a_problem(tmp_path: Path) -> None:
    assert measured(tmp_path) is None


@pytest.mark.parametrize(("total", "free"), [(0, 0), (-1, -1), (10, 11), (10, -1)])
def test_impossible_figures_are_a_problem(total: int, free: int) -> None:
    look = checked_snapshot(total, free, where="a driver")
    assert look.memory is None
    assert look.problem is not None
    assert "a driver reports" in look.problem.message


def test_the_memory_of_this_machine_is_plausible() -> None:
    probe = probe_for("cpu")
    memory, identity = probe.observe().memory, probe.identity()
    assert memory is not None
    assert 0 < memory.free <= memory.total
    assert memory.used + memory.free == memory.total
    assert (identity.kind, identity.uuid) == ("cpu", "")


def test_resident_memory_excludes_exited_processes() -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    resident = probe_for("cpu").observe([os.getpid(), ended.pid]).resident
    assert resident.keys() == {os.getpid()}
    assert resident[os.getpid()] > 10 * 1024 * KIB, "this interpreter alone holds more"


@pytest.mark.parametrize("device", ["gpu", "gpu:7", "gpu:GPU-0000"])
def test_a_missing_gpu_is_one_line_with_advice(device: str) -> None:
    """With the real pynvml: no driver, an unknown index, and an unknown UUID."""
    try:
        NvmlProbe("0")
    except SettingsError:
        pass
    else:
        if device == "gpu":
            pytest.skip("this machine has a GPU")
    with pytest.raises(SettingsError) as caught:
        probe_for(device)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("device gpu")
    assert "use device: cpu" in message
