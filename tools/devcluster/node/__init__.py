"""A node: kubelet, containerd, CNI and the rest, in namespaces of their own.

`unshare` starts one process as the first of its own PID, mount and network namespace. Everything of
the node is inside. When that process ends, the kernel removes the node's processes, mounts,
firewall rules and network devices, so the host stays clean.
"""

from tools.devcluster.machine import check_machine
from tools.devcluster.node.lifecycle import create_bridge, describe, remove, remove_bridge, start
from tools.devcluster.node.place import PROCESS, NodePlace, places

__all__ = [
    "PROCESS",
    "NodePlace",
    "check_machine",
    "create_bridge",
    "describe",
    "places",
    "remove",
    "remove_bridge",
    "start",
]
