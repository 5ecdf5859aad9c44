"""What tests get: pytest fixtures, and a handle on the cluster that they run against."""

from tools.devcluster.testing.handle import Cluster, Namespace

__all__ = ["Cluster", "Namespace"]
