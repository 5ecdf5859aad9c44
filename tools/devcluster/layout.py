"""Paths: the cache that is built once, and one folder for each cluster.

Nothing is written outside of the cache folder, so `down` removes one folder.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tools.devcluster.errors import DevClusterError

SOURCE = Path(__file__).resolve().parent
REPOSITORY = SOURCE.parents[1]
# Pod volumes and sockets are below the folder, and the path of a unix socket has at most 107 bytes.
LONGEST_NAME = 20


def cache_root() -> Path:
    """The cache folder: `OCRPOOL_DEVCLUSTER_CACHE`, else a folder in the user's cache."""
    named = os.environ.get("OCRPOOL_DEVCLUSTER_CACHE")
    if named:
        return Path(named).resolve()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base).resolve() / "ocrpool-devcluster"


def clusters_root() -> Path:
    return cache_root() / "clusters"


@dataclass(frozen=True)
class Folder:
    """The files of one cluster."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def settings(self) -> Path:
        return self.root / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def audit(self) -> Path:
        """Writes of service accounts, one line of JSON for each call (audit.k8s.io/v1)."""
        return self.logs / "audit.json"

    def gpus_of(self, node: int) -> Path:
        """The fake GPUs of a node, one folder for each device (see `fakegpu.device`)."""
        return self.root / f"gpus-{node}"

    def log(self, process: str) -> Path:
        return self.logs / f"{process}.log"


def folder(name: str) -> Folder:
    """The folder of the cluster `name`, which need not exist."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) or len(name) > LONGEST_NAME:
        raise DevClusterError(
            f"{name!r} cannot be a cluster's name",
            f"Use at most {LONGEST_NAME} lower-case letters, digits and dashes",
        )
    return Folder(clusters_root() / name)


def folders() -> list[Folder]:
    """Every cluster with a folder on this machine, running or not."""
    if not clusters_root().is_dir():
        return []
    return [Folder(path) for path in sorted(clusters_root().iterdir()) if path.is_dir()]
