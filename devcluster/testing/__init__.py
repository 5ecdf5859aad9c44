"""What tests get: pytest fixtures, and a handle on the cluster that they run against."""

from devcluster.testing.handle import Cluster, Namespace

__all__ = ["Cluster", "Namespace"]
