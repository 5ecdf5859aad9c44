"""Bring a cluster up, down, and say how it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from devcluster import control_plane, node, processes, settings
from devcluster.build import parts
from devcluster.errors import DevClusterError
from devcluster.layout import Folder
from devcluster.settings import Settings
from devcluster.waiting import answers, api_of

Say = Callable[[str], None]


def up(
    folder: Folder, *, api_port: int | None = None, with_node: bool = False, gpus: int = 0, say: Say
) -> Settings:
    """Start what is not running yet. Returns once the API server, and the node, are ready.

    A control plane without a node starts again, with its data, when a node is asked for: pods
    cannot reach an API server on loopback.
    """
    if with_node:
        node.check_machine()
    lacking = parts.missing(parts.NODE_PARTS if with_node else parts.CONTROL_PLANE_PARTS)
    if lacking is not None:
        raise lacking

    wanted = _wanted(folder, api_port, with_node, gpus)
    alive = {each.name for each in processes.running(folder)}
    if not set(control_plane.NAMES) & alive:
        if with_node:
            node.lay_wire(wanted)
        control_plane.start(folder, wanted)
        say(f"control plane ready: {wanted.server}")
    if with_node and node.PROCESS not in alive:
        node.start(folder, wanted)
        say(f"node ready: {node.name_of(folder)}")
    return wanted


def _wanted(folder: Folder, api_port: int | None, with_node: bool, gpus: int) -> Settings:
    found = settings.load(folder)
    alive = {each.name for each in processes.running(folder)}
    if found is None:
        if folder.root.exists():
            raise _left_over(folder)
        return settings.claim(folder, api_port, with_node, gpus)
    if not alive.issuperset(("etcd", "kube-apiserver")) or (
        found.node and node.PROCESS not in alive
    ):
        raise _left_over(folder)
    if with_node and not found.node:
        processes.stop(folder, control_plane.NAMES)
        found = Settings(found.slot, found.api_port, node=True, gpus=gpus)
        found.save(folder)
    return found


def _left_over(folder: Folder) -> DevClusterError:
    return DevClusterError(
        f"Cluster {folder.name!r} was cut off: only a part of it runs", f"Run: {_down(folder)}"
    )


def _down(folder: Folder) -> str:
    return (
        "make cluster-down"
        if folder.name == "dev"
        else f"python -m devcluster down --name {folder.name}"
    )


def down(folder: Folder) -> bool:
    """Remove all that a cluster left, whatever state it is in. False: there was nothing."""
    found = settings.load(folder)
    alive = processes.running(folder)
    if not folder.root.exists() and not alive:
        return False
    if os.geteuid() and folder.root.exists() and folder.root.stat().st_uid != os.geteuid():
        raise DevClusterError(
            f"Cluster {folder.name!r} is another user's", f"As that user, or root: {_down(folder)}"
        )
    if found is not None and found.node:
        node.remove(folder, found)
    stuck = processes.stop(folder)
    if stuck:
        names = ", ".join(f"{each.name} (pid {each.pid})" for each in stuck)
        raise DevClusterError(f"Not even SIGKILL ended {names}", f"Try again: {_down(folder)}")
    if folder.root.exists():
        shutil.rmtree(folder.root)
    return True


@dataclass(frozen=True)
class Status:
    name: str
    is_ready: bool
    server: str
    processes: tuple[processes.Running, ...]
    nodes: tuple[str, ...]
    leftover: bool


def status(folder: Folder) -> Status:
    found = settings.load(folder)
    alive = tuple(processes.running(folder))
    nodes: list[str] = []

    def ask() -> None:
        api = api_of(folder.kubeconfig)
        api.get("/readyz", timeout_s=2)
        nodes.extend(node.describe(each) for each in api.get_json("/api/v1/nodes")["items"])

    is_ready = answers(ask)
    wanted = {"etcd", "kube-apiserver"} | ({node.PROCESS} if found and found.node else set())
    leftover = not wanted.issubset({each.name for each in alive})
    return Status(
        folder.name, is_ready, found.server if found else "", alive, tuple(nodes), leftover
    )
