"""Starts kwok beside a control plane."""

from __future__ import annotations

from tools.devcluster import processes
from tools.devcluster.build import parts
from tools.devcluster.errors import DevClusterError
from tools.devcluster.kwok import stages
from tools.devcluster.kwok.nodes import LABEL
from tools.devcluster.layout import Folder
from tools.devcluster.settings import load

PROCESS = "kwok"
# As kubelet's.
LEASE_SECONDS = 40


def start(folder: Folder, *, lease_seconds: int = LEASE_SECONDS) -> None:
    """Start kwok if it does not run. It works once the first node is Ready.

    kwok renews the lease of each node every quarter of `lease_seconds`: a thousand nodes cost a
    hundred writes a second. Controllers mark a node NotReady 50 s after its last renewal.
    Raises DevClusterError where kwok is not built or no control plane runs.
    """
    settings = load(folder)
    alive = {each.name for each in processes.running(folder)}
    if settings is None or "kube-apiserver" not in alive:
        raise DevClusterError(
            f"Cluster {folder.name!r} does not run",
            f"Run: python -m tools.devcluster up --name {folder.name}",
        )
    if PROCESS in alive:
        return
    program = parts.find("kwok")
    config = folder.root / "kwok.yaml"
    config.write_text(stages.configuration())
    processes.start(
        folder,
        PROCESS,
        [
            program,
            f"--config={config}",
            f"--kubeconfig={folder.kubeconfig}",
            f"--manage-nodes-with-label-selector={LABEL}",
            f"--cidr={settings.network.simulated_pods}",
            "--node-ip=127.0.0.1",
            f"--node-lease-duration-seconds={lease_seconds}",
        ],
    )
