"""Start and remove a node, seen from the host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from devcluster import images, processes
from devcluster.errors import DevClusterError
from devcluster.fakegpu import device
from devcluster.layout import REPOSITORY, Folder
from devcluster.node import cgroups
from devcluster.node.config import NodeFiles, cgroup_of
from devcluster.settings import Settings
from devcluster.waiting import Started, answers, api_of, wait_until

PROCESS = "node"


def name_of(folder: Folder) -> str:
    return f"ocrpool-{folder.name}"


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DevClusterError(
            f"ip {' '.join(words)}: {done.stderr.strip()}",
            "End clusters that are left over: python -m devcluster down --all",
        )


def _has_device(name: str) -> bool:
    return Path("/sys/class/net", name).exists()


def lay_wire(settings: Settings) -> None:
    """A bridge on the host: the API server's address, and the way to pods and Services."""
    network = settings.network
    if not _has_device(network.device):
        _ip("link", "add", network.device, "type", "bridge")
    _ip("addr", "replace", f"{network.host_address}/24", "dev", network.device)
    _ip("link", "set", network.device, "up")
    for block in (network.pods, network.services):
        _ip("route", "replace", str(block), "via", str(network.node_address), "dev", network.device)


def start(folder: Folder, settings: Settings, patience_s: float = 60.0) -> None:
    """Start the node; return once it is Ready in the API, with GPUs and images."""
    if not images.archive_of("pause").is_file():
        images.make(("pause",), lambda _: None)
    images.copy_to(NodeFiles(folder.node).containerd_root)
    device.make_all(folder.gpus, settings.gpus)
    cgroups.make(cgroup_of(folder))
    pid = processes.start(
        folder,
        PROCESS,
        [
            *("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"),
            *(sys.executable, "-m", "devcluster.node.init", folder.root),
        ],
        {"PYTHONPATH": str(REPOSITORY)},
    )
    started = Started(PROCESS, pid, folder.log(PROCESS))
    _plug_in(pid, settings, started)
    # From here on kubelet knows best what is amiss.
    started = Started(PROCESS, pid, folder.log("kubelet"))
    api = api_of(folder.kubeconfig)

    def is_ready() -> bool:
        found = api.get_json(f"/api/v1/nodes/{name_of(folder)}")
        gpus = int(found["status"].get("allocatable", {}).get(device.RESOURCE, "0"))
        return _is_ready(found) and gpus == settings.gpus

    seen: list[bool] = []

    def probe() -> None:
        seen[:] = [is_ready()]

    wait_until(lambda: answers(probe) and all(seen), "node", started, patience_s)


def _plug_in(pid: int, settings: Settings, started: Started) -> None:
    """Lay the wire's other end into the node, once it has a network namespace of its own."""
    ours = os.readlink("/proc/self/ns/net")
    wait_until(
        lambda: os.readlink(f"/proc/{pid}/ns/net") != ours, "the node's namespaces", started, 10
    )
    plug = _plug_of(settings)
    _ip("link", "add", plug, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    _ip("link", "set", plug, "master", settings.network.device, "up")


def _plug_of(settings: Settings) -> str:
    """The host's end of the wire to the node."""
    return f"{settings.network.device}n"


def _is_ready(found: dict[str, Any]) -> bool:
    conditions = found["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def describe(found: dict[str, Any]) -> str:
    """A node of the API in one line."""
    gpus = found["status"].get("allocatable", {}).get(device.RESOURCE, "0")
    state = "Ready" if _is_ready(found) else "NotReady"
    return f"node {found['metadata']['name']}: {state}, {device.RESOURCE}: {gpus}"


def remove(folder: Folder, settings: Settings) -> None:
    """End the node and take back what it had on the host. Safe to repeat, or to find nothing."""
    # What runs in containers bears no mark of ours, and ends with the node's first process.
    processes.stop(folder, (PROCESS,))
    held = cgroups.remove(cgroup_of(folder))
    if held:
        raise DevClusterError(
            f"Processes are left in {', '.join(map(str, held))}", "End them and run it again"
        )
    # The kernel takes its time to remove the wire with the node's namespace.
    for name in (_plug_of(settings), settings.network.device):
        # Or it has done so by now: then there is nothing to say.
        subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)
        if _has_device(name):
            raise DevClusterError(f"The network device {name} stays", f"Run: ip link del {name}")
