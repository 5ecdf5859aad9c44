"""A node: kubelet, containerd, CNI and the rest, in namespaces of their own.

One process, started by `unshare`, is the first of its own PID, mount and network namespace, and all
that a node does happens inside: the kernel removes its processes, mounts, firewall rules and
network devices when that one process ends, however it ends. This is what keeps the host clean.
"""

from tools.devcluster.machine import check_machine
from tools.devcluster.node.lifecycle import describe, lay_wire, remove, start, take_up_wire
from tools.devcluster.node.place import PROCESS, Place, places

__all__ = [
    "PROCESS",
    "Place",
    "check_machine",
    "describe",
    "lay_wire",
    "places",
    "remove",
    "start",
    "take_up_wire",
]
