"""The fake NVML library, compiled once from `nvml.c`."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tools.devcluster.errors import DevClusterError
from tools.devcluster.layout import cache_root

SOURCE = Path(__file__).with_name("nvml.c")
SONAME = "libnvidia-ml.so.1"


def library() -> Path:
    """The path of the library. Put its folder on `LD_LIBRARY_PATH` and set `FAKEGPU_ROOT`."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    target = cache_root() / f"fakegpu-{digest}" / SONAME
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(".new")
        argv = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
        argv += [f"-Wl,-soname,{SONAME}", "-o", str(fresh), str(SOURCE)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise DevClusterError(
                "Missing on this machine: gcc",
                "On Debian or Ubuntu: apt-get install -y gcc libc6-dev",
            ) from None
        if done.returncode:
            raise DevClusterError(
                f"nvml.c does not compile: {done.stderr.strip().splitlines()[0]}",
                "On Debian or Ubuntu: apt-get install -y gcc libc6-dev",
            )
        fresh.replace(target)
    return target


def environment(devices: Path) -> dict[str, str]:
    """The environment of a process that uses the fake GPUs below `devices`."""
    return {"LD_LIBRARY_PATH": str(library().parent), "FAKEGPU_ROOT": str(devices)}
