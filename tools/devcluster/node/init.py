"""The first process inside a node's namespaces: `python -m tools.devcluster.node.init FOLDER
NUMBER`.

It creates mounts and network, starts the components, and reaps zombies. When it ends, the kernel
ends everything else in the node.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from tools.devcluster import processes
from tools.devcluster.build import parts
from tools.devcluster.control_plane import identity
from tools.devcluster.control_plane.identity import Pki
from tools.devcluster.layout import Folder
from tools.devcluster.machine import cni_folder
from tools.devcluster.node import config
from tools.devcluster.node.config import NodeFiles
from tools.devcluster.node.place import NodePlace
from tools.devcluster.ports import MOST_NODES
from tools.devcluster.settings import load
from tools.devcluster.waiting import api_of, succeeds

# The values that kubelet requires, so that it changes nothing (container_manager_linux.go,
# setupKernelTunables).
TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def main() -> None:
    folder = Folder(Path(sys.argv[1]))
    settings = load(folder)
    programs = cni_folder()
    if settings is None or programs is None:
        sys.exit("the node was started without settings, or without CNI plugins")
    place = NodePlace(folder, settings, int(sys.argv[2]))
    files = config.write(place, programs)
    _create_mounts(files)
    _create_network(place)
    _start_components(place, files)
    _reap_children()


def _command(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def _create_mounts(files: NodeFiles) -> None:
    """Mount over the folders that components write to; the mounts are invisible outside."""
    _command("mount", "--bind", str(files.var_lib), "/var/lib")
    _command("mount", "--bind", str(files.var_log), "/var/log")
    _command("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for name, value in TUNABLES.items():
        stand_in = files.tunables / name.replace("/", ".")
        stand_in.parent.mkdir(exist_ok=True)
        stand_in.write_text(f"{value}\n")
        _command("mount", "--bind", str(stand_in), f"/proc/sys/{name}")
    # Volumes may need mount propagation between containers.
    _command("mount", "--make-rshared", "/")


def _create_network(place: NodePlace) -> None:
    deadline = time.monotonic() + 10
    while not Path("/proc/self/net/dev").read_text().count("eth0:"):
        if time.monotonic() > deadline:
            sys.exit("no wire to the host appeared")
        time.sleep(0.02)
    network = place.settings.network
    _command("ip", "link", "set", "lo", "up")
    _command("ip", "addr", "add", f"{place.address}/24", "dev", "eth0")
    _command("ip", "link", "set", "eth0", "up")
    _command("ip", "route", "add", "default", "via", str(network.host_address))
    # The routes to nodes that may be added later.
    for number in range(MOST_NODES):
        if number != place.number:
            other = (str(network.pods_of(number)), "via", str(network.node_address(number)))
            _command("ip", "route", "add", *other)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _start_components(place: NodePlace, files: NodeFiles) -> None:
    pki = Pki(place.folder.pki)

    def begin(name: str, *argv: str | Path) -> None:
        processes.start(place.folder, place.called(name), argv)

    begin("containerd", "containerd", "--config", files.containerd)
    _await_containerd()
    begin("coredns", parts.find("coredns"), "-conf", files.dns)
    begin(
        "kubelet",
        parts.find("kubelet"),
        f"--config={files.kubelet}",
        f"--kubeconfig={pki.kubeconfig(identity.kubelet(place.name))}",
        f"--hostname-override={place.name}",
        f"--node-ip={place.address}",
    )
    begin(
        "kube-proxy",
        parts.find("kube-proxy"),
        f"--config={files.proxy}",
        f"--hostname-override={place.name}",
    )
    if place.settings.gpus:
        begin("fake-gpus", sys.executable, "-m", "tools.devcluster.fakegpu.plugin", place.gpus)
    _await_node(place)
    begin(
        "kube-router",
        parts.find("kube-router"),
        "--run-firewall=true",
        "--run-router=false",
        "--run-service-proxy=false",
        f"--kubeconfig={pki.kubeconfig(identity.POLICIES)}",
        f"--hostname-override={place.name}",
        f"--service-cluster-ip-range={place.settings.network.services}",
        "--health-port=0",
    )


def _await_containerd() -> None:
    """Wait for containerd; without it kubelet exits at once."""
    deadline = time.monotonic() + 30
    with socket.socket(socket.AF_UNIX) as probe:
        while probe.connect_ex(config.SOCKET):
            if time.monotonic() > deadline:
                sys.exit("containerd does not answer, see containerd.log")
            time.sleep(0.05)


def _await_node(place: NodePlace) -> None:
    """Wait for the Node object; without it kube-router exits at its start."""
    api = api_of(Pki(place.folder.pki).kubeconfig(identity.POLICIES))
    deadline = time.monotonic() + 60
    while not succeeds(lambda: api.get(f"/api/v1/nodes/{place.name}")):
        if time.monotonic() > deadline:
            sys.exit("kubelet did not register the node, see kubelet.log")
        time.sleep(0.2)


def _reap_children() -> None:
    """Reap zombies: orphaned shims and container processes become children of this process."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            sys.exit("all components have ended")


if __name__ == "__main__":
    main()
