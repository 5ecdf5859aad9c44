"""The clusters of test runs. Their names contain the pid of the run, so orphans can be found."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.devcluster import cluster, control_plane
from tools.devcluster.layout import Folder, folder, folders
from tools.devcluster.testing.handle import Cluster

TEST_CLUSTER = re.compile(r"test-(\d+)(-[a-z]+)?")


def is_test(cluster_folder: Folder) -> bool:
    return TEST_CLUSTER.fullmatch(cluster_folder.name) is not None


def orphans() -> list[Folder]:
    """Clusters of test runs that were killed."""
    found = []
    for each in folders():
        owner = TEST_CLUSTER.fullmatch(each.name)
        if owner and not Path("/proc", owner[1]).exists():
            found.append(each)
    return found


@contextmanager
def temporary(
    *,
    with_node: bool,
    gpus: int = 0,
    name: str = "",
    node_grace_s: int = control_plane.NODE_GRACE_SECONDS,
) -> Iterator[Cluster]:
    """A cluster for this process, removed at the end. Clusters of killed runs are removed first.

    `name` distinguishes clusters of one process. `node_grace_s`: after so many seconds without a
    heartbeat a node is NotReady.
    """
    for orphan in orphans():
        cluster.down(orphan)
    kind = name or ("node" if with_node else "")
    own = folder(f"test-{os.getpid()}" + (f"-{kind}" if kind else ""))
    try:
        cluster.up(
            own,
            nodes=int(with_node),
            gpus=gpus,
            node_grace_s=node_grace_s,
            say=lambda _: None,
        )
        yield Cluster(own.kubeconfig, folder=own)
    finally:
        cluster.down(own)
