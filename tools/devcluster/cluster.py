"""Starts and removes a cluster, and reports its status."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from tools.devcluster import control_plane, kwok, node, processes, settings
from tools.devcluster.build import parts
from tools.devcluster.errors import DevClusterError
from tools.devcluster.layout import Folder
from tools.devcluster.ports import MOST_NODES
from tools.devcluster.settings import Settings
from tools.devcluster.waiting import api_of, succeeds

Say = Callable[[str], None]


def up(
    folder: Folder,
    *,
    api_port: int | None = None,
    nodes: int = 0,
    gpus: int = 0,
    simulated: int = 0,
    node_grace_s: int = control_plane.NODE_GRACE_SECONDS,
    say: Say,
) -> Settings:
    """Start what is not running yet. Returns once the API server, and the nodes, are ready.

    `gpus`: of each node, also of the `simulated` ones, which are added to existing ones.
    `node_grace_s`: after so many seconds without a heartbeat a node is NotReady.
    A control plane without nodes restarts with its data when the first node is added, because pods
    cannot reach an API server on loopback. More nodes join a running cluster.
    """
    if nodes:
        node.check_machine()
    needed = parts.NODE_PARTS if nodes else parts.CONTROL_PLANE_PARTS
    problem = parts.missing((*needed, parts.KWOK) if simulated else needed)
    if problem is not None:
        raise problem

    had_kwok = any(each.name == kwok.PROCESS for each in processes.running(folder))
    desired = _desired_settings(folder, api_port, nodes, gpus)
    alive = {each.name for each in processes.running(folder)}
    if not set(control_plane.NAMES) & alive:
        if desired.nodes:
            node.create_bridge(desired)
        control_plane.start(folder, desired, node_grace_s=node_grace_s)
        say(f"control plane ready: {desired.server}")
    for place in node.places(folder, desired):
        if place.process not in alive:
            node.start(place)
            say(f"node ready: {place.name}")
    if simulated or had_kwok:
        kwok.start(folder)
    if simulated:
        there = kwok.Kwok(folder)
        there.add(simulated, gpus=gpus)
        say(f"nodes that exist in the API only: {len(there.ready())}")
    return desired


def _desired_settings(folder: Folder, api_port: int | None, nodes: int, gpus: int) -> Settings:
    if nodes > MOST_NODES:
        raise DevClusterError(
            f"{nodes} nodes are more than the {MOST_NODES} that a cluster has addresses for",
            "More can be simulated: --kwok",
        )
    found = settings.load(folder)
    alive = {each.name for each in processes.running(folder)}
    if found is None:
        if folder.root.exists():
            raise _left_over(folder)
        return settings.claim(folder, api_port, nodes, gpus)
    places = {each.process for each in node.places(folder, found)}
    if not alive.issuperset({"etcd", "kube-apiserver", *places}):
        raise _left_over(folder)
    if nodes > found.nodes:
        if not found.nodes:
            # kwok restarts, too, because the API server gets another address.
            processes.stop(folder, (*control_plane.NAMES, kwok.PROCESS))
            found = dataclasses.replace(found, gpus=gpus)
        found = dataclasses.replace(found, nodes=nodes)
        found.save(folder)
    return found


def _left_over(folder: Folder) -> DevClusterError:
    return DevClusterError(
        f"Cluster {folder.name!r} was cut off: only a part of it runs",
        f"Run: {_down_command(folder)}",
    )


def _down_command(folder: Folder) -> str:
    return (
        "make cluster-down"
        if folder.name == "dev"
        else f"python -m tools.devcluster down --name {folder.name}"
    )


def down(folder: Folder) -> bool:
    """Remove a cluster completely, in any state. Returns False where there was nothing."""
    found = settings.load(folder)
    alive = processes.running(folder)
    if not folder.root.exists() and not alive:
        return False
    if os.geteuid() and folder.root.exists() and folder.root.stat().st_uid != os.geteuid():
        raise DevClusterError(
            f"Cluster {folder.name!r} is another user's",
            f"As that user, or root: {_down_command(folder)}",
        )
    if found is not None and found.nodes:
        for place in node.places(folder, found):
            node.remove(place)
        node.remove_bridge(found)
    stuck = processes.stop(folder)
    if stuck:
        names = ", ".join(f"{each.name} (pid {each.pid})" for each in stuck)
        raise DevClusterError(
            f"Not even SIGKILL ended {names}", f"Try again: {_down_command(folder)}"
        )
    if folder.root.exists():
        shutil.rmtree(folder.root)
    return True


def remove_last_node(folder: Folder) -> None:
    """Remove the node that joined last, from the machine and from the API; never the first node."""
    found = settings.load(folder)
    if found is None or found.nodes < 2:
        raise DevClusterError(
            f"Cluster {folder.name!r} has no second node",
            f"To remove it all: {_down_command(folder)}",
        )
    last = node.places(folder, found)[-1]
    node.remove(last)
    shutil.rmtree(last.root)
    api_of(folder.kubeconfig).call("DELETE", f"/api/v1/nodes/{last.name}")
    dataclasses.replace(found, nodes=found.nodes - 1).save(folder)


@dataclass(frozen=True)
class Status:
    name: str
    is_ready: bool
    server: str
    processes: tuple[processes.RunningProcess, ...]
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

    is_ready = succeeds(ask)
    places = node.places(folder, found) if found else []
    desired = {"etcd", "kube-apiserver", *(each.process for each in places)}
    leftover = not desired.issubset({each.name for each in alive})
    return Status(
        folder.name, is_ready, found.server if found else "", alive, tuple(nodes), leftover
    )
