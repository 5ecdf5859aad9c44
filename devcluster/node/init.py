"""The first process inside a node's namespaces: `python -m devcluster.node.init FOLDER`.

It lays mounts and network, starts the components, collects the dead. When it ends, the kernel ends
everything else in the node.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from devcluster import processes
from devcluster.build import parts
from devcluster.control_plane import identity
from devcluster.control_plane.identity import Pki
from devcluster.layout import Folder
from devcluster.machine import cni_folder
from devcluster.node import config
from devcluster.node.config import NodeFiles
from devcluster.node.lifecycle import name_of
from devcluster.settings import Settings, load

# What kubelet wants, so that it finds nothing to change (kubelet: container_manager_linux.go,
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
    files = config.write(folder, settings, programs)
    _lay_mounts(files)
    _lay_network(settings)
    _start_components(folder, settings, files)
    _collect_the_dead()


def _command(*argv: str) -> None:
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def _lay_mounts(files: NodeFiles) -> None:
    """Cover what components would write to the machine; nobody outside sees these mounts."""
    _command("mount", "--bind", str(files.var_lib), "/var/lib")
    _command("mount", "--bind", str(files.var_log), "/var/log")
    _command("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for name, value in TUNABLES.items():
        stand_in = files.tunables / name.replace("/", ".")
        stand_in.parent.mkdir(exist_ok=True)
        stand_in.write_text(f"{value}\n")
        _command("mount", "--bind", str(stand_in), f"/proc/sys/{name}")
    # Volumes may ask for mounts that travel between containers.
    _command("mount", "--make-rshared", "/")


def _lay_network(settings: Settings) -> None:
    deadline = time.monotonic() + 10
    while not Path("/proc/self/net/dev").read_text().count("eth0:"):
        if time.monotonic() > deadline:
            sys.exit("no wire to the host appeared")
        time.sleep(0.02)
    network = settings.network
    _command("ip", "link", "set", "lo", "up")
    _command("ip", "addr", "add", f"{network.node_address}/24", "dev", "eth0")
    _command("ip", "link", "set", "eth0", "up")
    _command("ip", "route", "add", "default", "via", str(network.host_address))
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _start_components(folder: Folder, settings: Settings, files: NodeFiles) -> None:
    pki = Pki(folder.pki)

    def begin(name: str, *argv: str | Path) -> None:
        processes.start(folder, name, argv)

    begin("containerd", "containerd", "--config", files.containerd)
    _await_containerd()
    begin("coredns", parts.find("coredns"), "-conf", files.dns)
    begin(
        "kubelet",
        parts.find("kubelet"),
        f"--config={files.kubelet}",
        f"--kubeconfig={pki.kubeconfig(identity.kubelet(name_of(folder)))}",
        f"--hostname-override={name_of(folder)}",
        f"--node-ip={settings.network.node_address}",
    )
    begin(
        "kube-proxy",
        parts.find("kube-proxy"),
        f"--config={files.proxy}",
        f"--hostname-override={name_of(folder)}",
    )
    if settings.gpus:
        begin("fake-gpus", sys.executable, "-m", "devcluster.fakegpu.plugin", folder.gpus)


def _await_containerd() -> None:
    """Without it kubelet ends at once."""
    deadline = time.monotonic() + 30
    with socket.socket(socket.AF_UNIX) as probe:
        while probe.connect_ex(config.SOCKET):
            if time.monotonic() > deadline:
                sys.exit("containerd does not answer, see containerd.log")
            time.sleep(0.05)


def _collect_the_dead() -> None:
    """Shims and what runs in containers become this process's children when theirs has ended."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            sys.exit("all components have ended")


if __name__ == "__main__":
    main()
