"""The node: kubelet, containerd, CNI and the rest, in namespaces of their own.

One process, started by `unshare`, is the first of its own PID, mount and network namespace, and all
that a node does happens inside: the kernel removes its processes, mounts, firewall rules and
network devices when that one process ends, however it ends. This is what keeps the host clean.
"""

from devcluster.machine import check_machine
from devcluster.node.lifecycle import PROCESS, describe, lay_wire, name_of, remove, start

__all__ = ["PROCESS", "check_machine", "describe", "lay_wire", "name_of", "remove", "start"]
