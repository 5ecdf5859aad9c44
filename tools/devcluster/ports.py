"""The ports and addresses of a cluster. All of them follow from one small number, its slot."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

SLOTS = 64
# Below the range of outgoing connections in Linux (from 32768 on), so that no connection takes a
# port between the check and its use.
FIRST_PORT = 21300
PORTS_A_SLOT = 4
BLOCK = IPv4Network("10.213.0.0/16")
MOST_NODES = 4
# For simulated pods. Every address of 127.0.0.0/8 belongs to this machine, so a fake worker can
# answer for them.
SIMULATED_BLOCK = IPv4Network("127.252.0.0/14")


@dataclass(frozen=True)
class Ports:
    api: int
    etcd: int
    etcd_peer: int

    def all(self) -> tuple[int, ...]:
        return (self.api, self.etcd, self.etcd_peer)


@dataclass(frozen=True)
class Network:
    """A /22 block for each slot: the bridge to the nodes, the Services, the pods."""

    slot: int

    @property
    def _blocks(self) -> list[IPv4Network]:
        base = BLOCK.network_address + self.slot * 1024
        return list(IPv4Network((base, 22)).subnets(new_prefix=24))

    @property
    def device(self) -> str:
        """The bridge on the host that a cluster with a node has."""
        return f"ocrpool{self.slot}"

    @property
    def wire(self) -> IPv4Network:
        return self._blocks[0]

    @property
    def host_address(self) -> IPv4Address:
        return self.wire[1]

    def node_address(self, number: int) -> IPv4Address:
        return self.wire[2 + number]

    @property
    def pods(self) -> IPv4Network:
        """The pods of all nodes."""
        return self._blocks[2].supernet()

    def pods_of(self, number: int) -> IPv4Network:
        """126 addresses for each of four nodes."""
        return list(self.pods.subnets(new_prefix=25))[number]

    @property
    def simulated_pods(self) -> IPv4Network:
        """4,096 addresses on loopback (see `tools.devcluster.kwok`)."""
        return IPv4Network((SIMULATED_BLOCK.network_address + self.slot * 4096, 20))

    @property
    def services(self) -> IPv4Network:
        return self._blocks[1]

    @property
    def first_service(self) -> IPv4Address:
        """`kubernetes.default.svc`."""
        return self.services[1]


def ports_of(slot: int, api_port: int | None = None) -> Ports:
    first = FIRST_PORT + slot * PORTS_A_SLOT
    return Ports(api_port or first, first + 1, first + 2)


def is_free(port: int, address: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
