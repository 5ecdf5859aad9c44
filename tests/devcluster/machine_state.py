"""A snapshot of everything that a cluster could leave behind on a machine."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.devcluster import processes
from tools.devcluster.layout import Folder, folders
from tools.devcluster.settings import load

# Where Kubernetes and containerd write on an ordinary node, and where temporary files go.
USUAL_PLACES = (
    "/etc",
    "/opt",
    "/run",
    "/usr/libexec",
    "/var/lib",
    "/var/log",
    "/var/run",
)
TUNABLES = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")


@dataclass(frozen=True)
class MachineState:
    processes: frozenset[str]
    mounts: frozenset[str]
    network: frozenset[str]
    firewall: frozenset[str]
    cgroups: frozenset[str]
    files: frozenset[str]
    tunables: tuple[str, ...]


def observe(folder: Folder) -> MachineState:
    """The state of the machine that the cluster of this folder could have changed."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return MachineState(
        processes=frozenset(_processes(folder)),
        mounts=frozenset(line.split()[4] for line in mounts),
        network=frozenset(_network(folder)),
        firewall=frozenset(_firewall()),
        cgroups=frozenset(
            str(each) for each in Path("/sys/fs/cgroup").glob(f"*/ocrpool-{folder.name}*")
        ),
        files=frozenset(_files(folder)),
        tunables=tuple(Path("/proc/sys", name).read_text() for name in TUNABLES),
    )


def _lines(*argv: str) -> list[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


def _network(folder: Folder) -> list[str]:
    """Devices and routes, except those of other clusters, which may change meanwhile."""
    others = [load(each) for each in folders() if each != folder]
    foreign = tuple(each.network.device for each in others if each is not None and each.nodes)
    names = [line.split(":")[1].split("@")[0].strip() for line in _lines("ip", "-oneline", "link")]
    routes = _lines("ip", "route")
    is_foreign = {name for name in names if re.sub(r"n\d?$", "", name) in foreign}
    ours = [name for name in names if name not in is_foreign]
    return ours + [route for route in routes if not is_foreign & set(route.split())]


def _firewall() -> list[str]:
    """Firewall rules. Only root can read them, and only root's clusters can change them."""
    if os.geteuid():
        return []
    return [line for line in _lines("iptables-save") if line[:1] != "#"]


def _processes(folder: Folder) -> list[str]:
    """Processes with the cluster's mark, and processes that use its folder without the mark."""
    found = [each.name for each in processes.running(folder)]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_text().split("\0")
                root = os.readlink(entry / "root")
            except OSError:
                continue
            if str(folder.root) in " ".join(words) or str(folder.root) in root:
                found.append(words[0])
    return found


def _files(folder: Folder) -> list[str]:
    places = [top for top in USUAL_PLACES if not Path(top).is_symlink()]
    found = [str(path) for top in places for path in _walk(top)]
    return found + [str(path) for path in (folder.root, *folder.root.rglob("*")) if path.exists()]


def _walk(top: str) -> list[Path]:
    return [Path(folder, name) for folder, _, names in os.walk(top) for name in names]
