"""The names, addresses and folders of a node. All of them follow from its number."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from tools.devcluster.control_plane.start import node_name
from tools.devcluster.layout import Folder
from tools.devcluster.settings import Settings

# The name of a node in `status` and of its log.
PROCESS = "node"


@dataclass(frozen=True)
class NodePlace:
    """`number` counts from 0."""

    folder: Folder
    settings: Settings
    number: int

    def called(self, what: str) -> str:
        """A name for the node: `kubelet` on the first one, `kubelet.2` on the second."""
        return what if self.number == 0 else f"{what}.{self.number + 1}"

    @property
    def name(self) -> str:
        """Its name in the API."""
        return node_name(self.folder, self.number)

    @property
    def process(self) -> str:
        return self.called(PROCESS)

    @property
    def cgroup(self) -> str:
        return self.name

    @property
    def root(self) -> Path:
        return self.folder.root / self.called("node")

    @property
    def gpus(self) -> Path:
        """The fake GPUs, one folder for each device (see `fakegpu.device`)."""
        return self.folder.gpus_of(self.number)

    @property
    def address(self) -> IPv4Address:
        return self.settings.network.node_address(self.number)

    @property
    def pods(self) -> IPv4Network:
        return self.settings.network.pods_of(self.number)

    @property
    def plug(self) -> str:
        """The host's end of the veth pair to the node."""
        return f"{self.settings.network.device}n{self.number or ''}"


def places(folder: Folder, settings: Settings) -> list[NodePlace]:
    """Every node of the cluster's settings."""
    return [NodePlace(folder, settings, number) for number in range(settings.nodes)]
