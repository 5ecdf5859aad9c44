"""The control plane: etcd, API server, controller manager, scheduler, as plain processes."""

from devcluster.control_plane.start import NAMES, start

__all__ = ["NAMES", "start"]
