"""The machine on which figures were measured."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "paddlepaddle",
    "paddlepaddle-gpu",
    "paddleocr",
    "paddlex",
    "aiohttp",
    "litserve",
    "fastapi",
    "uvicorn",
    "numpy",
    "opencv-contrib-python",
)


@dataclass(frozen=True)
class Machine:
    """`cores`: those that this process may use. `load`: the one-minute load average before the run.
    Figures from a busy machine are not reliable."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    load: float
    packages: dict[str, str]

    def __str__(self) -> str:
        packages = ", ".join(f"{name} {number}" for name, number in self.packages.items())
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gib:.0f} GiB, Linux {self.kernel}, "
            f"Python {self.python}; {packages}. Load average before the run: {self.load:.2f}."
        )


def this_machine() -> Machine:
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        kernel=platform.release(),
        python=platform.python_version(),
        load=os.getloadavg()[0],
        packages=_versions(),
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return " ".join(value.split())
    return platform.machine()


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
