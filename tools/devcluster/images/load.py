"""Loads the images into the containerd of each running node."""

from __future__ import annotations

import subprocess
from itertools import product

from tools.devcluster import processes
from tools.devcluster.errors import DevClusterError
from tools.devcluster.images.catalogue import archives
from tools.devcluster.layout import Folder

SOCKET = "/run/containerd/containerd.sock"


def load(folder: Folder) -> None:
    """Import every archive. An image that containerd already has takes a second."""
    found = [each for each in processes.running(folder) if each.name.startswith("containerd")]
    if not found:
        raise DevClusterError(f"Cluster {folder.name!r} has no node", "Run: make cluster-up")
    for inside, archive in product(found, sorted(archives().glob("*.tar"))):
        done = subprocess.run(
            [
                *("nsenter", "-t", str(inside.pid), "--mount", "--pid"),
                *("ctr", "-a", SOCKET, "-n", "k8s.io", "images", "import", str(archive)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DevClusterError(
                f"containerd refuses {archive.name}: {done.stderr.strip()}",
                f"Remove {archive} and run: make images",
            )
