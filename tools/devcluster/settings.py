"""The settings of a cluster, written before its first process starts."""

from __future__ import annotations

import dataclasses
import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager

from tools.devcluster import ports
from tools.devcluster.errors import DevClusterError
from tools.devcluster.layout import Folder, clusters_root, folders
from tools.devcluster.ports import Network, Ports


@dataclasses.dataclass(frozen=True)
class Settings:
    """One cluster. No nodes: control plane only, on loopback. `gpus` are those of each node."""

    slot: int
    api_port: int | None = None
    nodes: int = 0
    gpus: int = 0

    @property
    def network(self) -> Network:
        return Network(self.slot)

    @property
    def ports(self) -> Ports:
        return ports.ports_of(self.slot, self.api_port)

    @property
    def api_address(self) -> str:
        """The address of the API server. Pods must reach it, so with nodes it is not on
        loopback."""
        return str(self.network.host_address) if self.nodes else "127.0.0.1"

    @property
    def server(self) -> str:
        return f"https://{self.api_address}:{self.ports.api}"

    def save(self, folder: Folder) -> None:
        folder.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = folder.settings.with_suffix(".new")
        fresh.write_text(json.dumps(dataclasses.asdict(self)))
        fresh.replace(folder.settings)


def load(folder: Folder) -> Settings | None:
    """The settings of a cluster, or None where it ended before they were written."""
    try:
        return Settings(**json.loads(folder.settings.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


@contextmanager
def _claiming() -> Iterator[None]:
    clusters_root().mkdir(parents=True, exist_ok=True)
    with (clusters_root() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def claim(folder: Folder, api_port: int | None, nodes: int, gpus: int) -> Settings:
    """Reserve the first slot that no other cluster has and whose ports are free."""
    if api_port is not None and not ports.is_free(api_port):
        raise DevClusterError(
            f"Port {api_port} is in use",
            "Choose another one, or leave --port out: a free one is taken",
        )
    with _claiming():
        others = (load(each) for each in folders())
        taken = {each.slot for each in others if each is not None}
        for slot in range(ports.SLOTS):
            wanted = Settings(slot, api_port, nodes, gpus)
            if slot not in taken and all(ports.is_free(port) for port in wanted.ports.all()):
                wanted.save(folder)
                return wanted
    last = ports.FIRST_PORT + ports.SLOTS * ports.PORTS_A_SLOT
    raise DevClusterError(
        f"No free ports between {ports.FIRST_PORT} and {last}",
        "End clusters that are left over: python -m tools.devcluster down --all",
    )
