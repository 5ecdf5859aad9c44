"""`python -m tools.devcluster …`: the commands behind the make targets."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from tools.devcluster import cluster, images, machine, processes
from tools.devcluster.build import parts, run
from tools.devcluster.errors import DevClusterError
from tools.devcluster.layout import Folder, folder, folders
from tools.devcluster.testing import runs


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except DevClusterError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. Clean up with: python -m tools.devcluster down", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.devcluster", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    build = commands.add_parser("build", help="build the components, once (minutes)")
    build.add_argument(
        "--control-plane-only",
        action="store_true",
        help="without the programs of real and simulated nodes",
    )
    build.set_defaults(command=_build)

    packages = commands.add_parser("packages", help="install Debian's packages for a node (root)")
    packages.set_defaults(command=_packages)

    up = commands.add_parser("up", help="start a control plane, with --nodes also nodes")
    _name(up)
    up.add_argument(
        "--nodes",
        "--node",
        type=int,
        nargs="?",
        const=1,
        default=0,
        metavar="COUNT",
        help="nodes that run containers (root); more can join a running cluster",
    )
    up.add_argument(
        "--kwok",
        type=int,
        default=0,
        metavar="NODES",
        help="add simulated nodes; their pods exist in the API only",
    )
    up.add_argument("--gpus", type=int, default=2, help="how many GPUs each node has (%(default)s)")
    up.add_argument("--port", type=int, help="of the API server (default: a free one)")
    up.set_defaults(command=_up)

    down = commands.add_parser("down", help="remove a cluster completely")
    _name(down)
    down.add_argument("--all", action="store_true", help="every cluster of this cache folder")
    down.set_defaults(command=_down)

    status = commands.add_parser("status", help="show running clusters and leftovers")
    status.set_defaults(command=_status)

    make = commands.add_parser("images", help="build the project's images and load them (root)")
    make.add_argument("only", nargs="*", help="names of images (default: all)")
    make.add_argument(
        "--again", action="store_true", help="build once more from nothing and compare the images"
    )
    make.set_defaults(command=_images)
    return parser


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="dev", help="the cluster's name (%(default)s)")


def _say(line: str) -> None:
    print(line, flush=True)


def _build(options: argparse.Namespace) -> int:
    wanted = parts.CONTROL_PLANE_PARTS if options.control_plane_only else parts.ALL_PARTS
    run.build(wanted, _say)
    return 0


def _up(options: argparse.Namespace) -> int:
    began = time.monotonic()
    target = folder(options.name)
    cluster.up(
        target,
        api_port=options.port,
        nodes=options.nodes,
        gpus=options.gpus,
        simulated=options.kwok,
        say=_say,
    )
    _say(f"up in {time.monotonic() - began:.1f} s; export KUBECONFIG={target.kubeconfig}")
    kubectl = parts.find("kubectl")
    _say(f"kubectl and helm: {kubectl.parent}")
    return 0


def _down(options: argparse.Namespace) -> int:
    named: list[Folder] = folders() if options.all else [folder(options.name)]
    # Also remove the clusters of killed test runs.
    targets = {each.name: each for each in (*named, *runs.orphans())}.values()
    for target in targets:
        was = cluster.down(target)
        _say(f"{target.name}: removed" if was else f"{target.name}: does not exist")
    return 0


def _status(options: argparse.Namespace) -> int:
    found = [cluster.status(each) for each in folders()]
    for each in found:
        state = "ready" if each.is_ready else "not ready"
        if each.leftover:
            state = f"left over, run: python -m tools.devcluster down --name {each.name}"
        _say(f"{each.name}: {state} {each.server}")
        for process in each.processes:
            _say(f"  {process.name} (pid {process.pid})")
        for line in each.nodes:
            _say(f"  {line}")
    if not found:
        _say("no cluster")
    lacking = parts.missing(parts.ALL_PARTS)
    _say("built: everything" if lacking is None else f"built: {lacking}")
    if os.geteuid():
        _say("not root: a control plane can be started, a node cannot")
    return 0


def _images(options: argparse.Namespace) -> int:
    if options.again:
        images.compare(options.only, _say)
    else:
        images.make(options.only, _say)
    for each in folders():
        is_own = not runs.is_test(each)  # a test run loads its images when it starts
        if is_own and any(
            process.name.startswith("containerd") for process in processes.running(each)
        ):
            images.load(each)
            _say(f"loaded into {each.name}")
    return 0


def _packages(options: argparse.Namespace) -> int:
    lacking = machine.missing_packages()
    if lacking:
        machine.install(lacking)
    _say(f"installed: {' '.join(lacking)}" if lacking else "every package is installed")
    return 0
