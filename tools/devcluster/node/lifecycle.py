"""Starts and removes a node from the host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.devcluster import images, processes
from tools.devcluster.errors import DevClusterError
from tools.devcluster.fakegpu import device
from tools.devcluster.layout import REPOSITORY
from tools.devcluster.node import cgroups
from tools.devcluster.node.config import NodeFiles
from tools.devcluster.node.place import NodePlace
from tools.devcluster.ports import MOST_NODES
from tools.devcluster.settings import Settings
from tools.devcluster.waiting import Started, api_of, succeeds, wait_until


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DevClusterError(
            f"ip {' '.join(words)}: {done.stderr.strip()}",
            "End clusters that are left over: python -m tools.devcluster down --all",
        )


def _has_device(name: str) -> bool:
    return Path("/sys/class/net", name).exists()


def create_bridge(settings: Settings) -> None:
    """Create a bridge on the host, with the API server's address and the routes to pods and
    Services."""
    network = settings.network
    if not _has_device(network.device):
        _ip("link", "add", network.device, "type", "bridge")
    _ip("addr", "replace", f"{network.host_address}/24", "dev", network.device)
    _ip("link", "set", network.device, "up")
    services = [(network.services, network.node_address(0))]
    pods = [(network.pods_of(each), network.node_address(each)) for each in range(MOST_NODES)]
    for block, node in services + pods:
        _ip("route", "replace", str(block), "via", str(node), "dev", network.device)


def start(place: NodePlace, patience_s: float = 60.0) -> None:
    """Start the node. Returns once it is Ready in the API, with GPUs and images."""
    folder = place.folder
    if not images.archive_of("pause").is_file():
        images.make(("pause",), lambda _: None)
    images.copy_to(NodeFiles(place.root).containerd_root)
    device.make_all(place.gpus, place.settings.gpus)
    cgroups.make(place.cgroup)
    pid = processes.start(
        folder,
        place.process,
        [
            *("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc"),
            *(sys.executable, "-m", "tools.devcluster.node.init", folder.root, str(place.number)),
        ],
        {"PYTHONPATH": str(REPOSITORY)},
    )
    started = Started(place.process, pid, folder.log(place.process))
    _connect(pid, place, started)
    # From here on the log of kubelet explains failures.
    started = Started(place.process, pid, folder.log(place.called("kubelet")))
    api = api_of(folder.kubeconfig)

    def is_ready() -> bool:
        found = api.get_json(f"/api/v1/nodes/{place.name}")
        gpus = int(found["status"].get("allocatable", {}).get(device.RESOURCE, "0"))
        return _is_ready(found) and gpus == place.settings.gpus

    seen: list[bool] = []

    def probe() -> None:
        seen[:] = [is_ready()]

    wait_until(lambda: succeeds(probe) and all(seen), "node", started, patience_s)


def _connect(pid: int, place: NodePlace, started: Started) -> None:
    """Move the other end of the veth pair into the node's network namespace once that exists."""
    ours = os.readlink("/proc/self/ns/net")
    wait_until(
        lambda: os.readlink(f"/proc/{pid}/ns/net") != ours, "the node's namespaces", started, 10
    )
    _ip("link", "add", place.plug, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    _ip("link", "set", place.plug, "master", place.settings.network.device, "up")


def _is_ready(found: dict[str, Any]) -> bool:
    conditions = found["status"].get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def describe(found: dict[str, Any]) -> str:
    """A node in one line."""
    gpus = found["status"].get("allocatable", {}).get(device.RESOURCE, "0")
    state = "Ready" if _is_ready(found) else "NotReady"
    return f"node {found['metadata']['name']}: {state}, {device.RESOURCE}: {gpus}"


def remove(place: NodePlace) -> None:
    """End a node and remove what it had on the host. Does nothing where there is no node."""
    # Container processes have no mark of the cluster; they end with the node's first process.
    processes.stop(place.folder, (place.process,))
    held = cgroups.remove(place.cgroup)
    if held:
        raise DevClusterError(
            f"Processes remain in {', '.join(map(str, held))}", "End them and run it again"
        )
    _remove_device(place.plug)


def remove_bridge(settings: Settings) -> None:
    """Remove the bridge with its routes."""
    _remove_device(settings.network.device)


def _remove_device(name: str) -> None:
    # The kernel removes the veth pair with the node's namespace, sometimes late. It may already be
    # removed.
    subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)
    if _has_device(name):
        raise DevClusterError(
            f"The network device {name} was not removed", f"Run: ip link del {name}"
        )
