"""The requirements of a node, and errors that name what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tools.devcluster.errors import DevClusterError
from tools.devcluster.layout import cache_root

# Command: the Debian package that has it.
COMMANDS = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ipset": "ipset",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "mount": "mount",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}
IMAGE_COMMANDS = {
    "gcc": "gcc",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "tar": "tar",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}
INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends")
# For tests that run a proxy without a container.
PROGRAMS = {"haproxy": "haproxy"}
CNI_PACKAGE = "containernetworking-plugins"
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
CNI_PLUGINS = ("ptp", "host-local", "loopback", "portmap")
# A node has its own folders at these paths.
COVERED = (Path("/var/lib"), Path("/var/log"), Path("/run"))


def cni_folder() -> Path | None:
    for each in CNI_FOLDERS:
        if all((each / plugin).is_file() for plugin in CNI_PLUGINS):
            return each
    return None


def need_root(why: str) -> None:
    if os.geteuid():
        raise DevClusterError(
            f"{why} needs root, and this is user {os.geteuid()}", "Run it with sudo"
        )


def need_commands(commands: dict[str, str]) -> None:
    """Raises DevClusterError that names every missing package in one line."""
    _need({package for command, package in commands.items() if not shutil.which(command)})


def _need(packages: Iterable[str]) -> None:
    names = " ".join(sorted(packages))
    if names:
        raise DevClusterError(
            f"Missing on this machine: {names}",
            f"On Debian or Ubuntu, as root: {' '.join(INSTALL)} {names}",
        )


def missing_packages() -> list[str]:
    """The Debian packages that a node, the images or a test need and that are not installed."""
    # Debian installs it into a folder that is not on a user's PATH.
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    programs = {each for command, each in PROGRAMS.items() if not shutil.which(command, path=path)}
    return sorted({*_node_packages(), *programs})


def _node_packages() -> list[str]:
    commands = {**COMMANDS, **IMAGE_COMMANDS}
    lacking = {package for command, package in commands.items() if not shutil.which(command)}
    if cni_folder() is None:
        lacking.add(CNI_PACKAGE)
    return sorted(lacking)


def install(packages: Iterable[str]) -> None:
    """Install Debian packages. Raises DevClusterError without root or apt-get."""
    need_root("Installing packages")
    need_commands({"apt-get": "apt"})
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in (["apt-get", "update", "--quiet=2"], [*INSTALL, *packages]):
        done = subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1]
            raise DevClusterError(f"{argv[0]} {argv[1]}: {last}", "Fix that and run it again")


def check_machine() -> None:
    """Raises DevClusterError where a node cannot run here."""
    need_root("A node")
    _need(_node_packages())
    for place in COVERED:
        if cache_root().is_relative_to(place):
            raise DevClusterError(
                f"The cache folder {cache_root()} is in {place}, which a node replaces",
                "Set OCRPOOL_DEVCLUSTER_CACHE to a folder elsewhere",
            )
