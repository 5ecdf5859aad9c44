"""The control plane: etcd, API server, controller manager, scheduler, as plain processes."""

from tools.devcluster.control_plane.start import NAMES, NODE_GRACE_SECONDS, start

__all__ = ["NAMES", "NODE_GRACE_SECONDS", "start"]
