"""For tests: pytest fixtures, and a client of the cluster that they run against."""

from tools.devcluster.testing.handle import Cluster, Namespace

__all__ = ["Cluster", "Namespace"]
