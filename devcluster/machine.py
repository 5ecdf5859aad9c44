"""What a machine must have for a node, and the word for what it lacks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from devcluster.errors import DevClusterError
from devcluster.layout import cache_root

# Command: the Debian package that has it.
COMMANDS = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "mount": "mount",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "gcc": "gcc",
    "buildah": "buildah",
}
CNI_PACKAGE = "containernetworking-plugins"
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
CNI_PLUGINS = ("ptp", "host-local", "loopback", "portmap")
# A node sees folders of its own in the place of these.
COVERED = (Path("/var/lib"), Path("/var/log"), Path("/run"))


def cni_folder() -> Path | None:
    for each in CNI_FOLDERS:
        if all((each / plugin).is_file() for plugin in CNI_PLUGINS):
            return each
    return None


def need_root(why: str) -> None:
    if os.geteuid():
        raise DevClusterError(f"{why} needs root, and this is user {os.geteuid()}", "Run it with sudo")


def need_commands(commands: dict[str, str]) -> None:
    """Raises DevClusterError that names every package which is missing, in one line."""
    lacking = {package for command, package in commands.items() if not shutil.which(command)}
    if "containerd" in commands and cni_folder() is None:
        lacking.add(CNI_PACKAGE)
    if lacking:
        names = " ".join(sorted(lacking))
        raise DevClusterError(
            f"Missing on this machine: {names}",
            f"On Debian or Ubuntu: apt-get install -y --no-install-recommends {names}",
        )


def check_machine() -> None:
    """Raises DevClusterError where a node cannot run here."""
    need_root("A node")
    need_commands(COMMANDS)
    for place in COVERED:
        if cache_root().is_relative_to(place):
            raise DevClusterError(
                f"The cache folder {cache_root()} lies in {place}, which a node covers with its own",
                "Set OCRPOOL_DEVCLUSTER_CACHE to a folder elsewhere",
            )
