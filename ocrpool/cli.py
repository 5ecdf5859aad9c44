"""The command line `ocrpool`: runs an OcrPool on this machine, without a cluster."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from ocrpool.local.controller import LocalController, workers_of
from ocrpool.local.devices import LocalDevice, find_devices
from ocrpool.local.dry_run import next_decision, steps
from ocrpool.local.errors import EXIT_NOT_RUNNING, EXIT_USAGE, LocalError
from ocrpool.local.notices import Notices
from ocrpool.local.pool_file import PoolFile, load_pool, worker_settings
from ocrpool.local.runtime_state import RuntimeState, WorkerRuntimeState, claim_pool, running_pools
from ocrpool.local.shutdown import ShutdownSignals
from ocrpool.local.table import Row, display, table
from ocrpool.planner.instances.types import InstanceLimits
from ocrpool.protocol import Device, State
from ocrpool.protocol.quantity import format_bytes, parse_bytes
from ocrpool.version import VERSION
from ocrpool_worker.devices import probe_for
from ocrpool_worker.errors import SettingsError
from ocrpool_worker.settings import settings_from

HIGHEST_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Each expected failure is one line on standard error."""
    args = _parser().parse_args(arguments)
    try:
        status = int(args.run(args))
    except LocalError as error:
        _print_error(str(error))
        status = error.status
    except BrokenPipeError:  # the reader closed the pipe
        status = 1
    except OSError as error:
        _print_error(str(error))
        status = 1
    except KeyboardInterrupt:
        status = 130
    _flush_output()
    return status


def _print_error(text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"ocrpool: {text}", file=sys.stderr)


def _flush_output() -> None:
    """Flush standard output. Python would print a traceback for a closed pipe at its exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ocrpool", description="An OcrPool on this machine, without a cluster"
    )
    parser.add_argument("--version", action="version", version=f"ocrpool {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    text = (
        "run one worker on each GPU (or on the CPU), with as many instances as fit into its memory"
    )
    up = commands.add_parser("up", help=text, description=text)
    _add_pool(up)
    up.add_argument("--models", type=Path, metavar="DIR", help="folder of staged models")
    up.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    up.add_argument(
        "--port",
        type=int,
        default=8080,
        help="data port of the first worker; its control port is the next one, then come the "
        "ports of the next worker (%(default)s); 0 = any free ports",
    )
    up.add_argument(
        "--interval",
        type=_seconds,
        default=2.0,
        metavar="SECONDS",
        help="time between two observations (default %(default)g)",
    )
    up.add_argument(
        "--cool-down",
        type=_seconds,
        metavar="SECONDS",
        help="time without new instances after a worker had to stop one (default 60)",
    )
    up.set_defaults(run=_up)
    text = "show the pools that `ocrpool up` runs"
    status = commands.add_parser("status", help=text, description=text)
    status.set_defaults(run=_status)
    text = "print what `ocrpool up` would do on this machine and why, without doing it"
    would = commands.add_parser("plan", help=text, description=text)
    _add_pool(would)
    would.add_argument(
        "--footprint",
        type=_bytes,
        metavar="BYTES",
        help="assume that one instance takes this much memory, for example 1.4Gi",
    )
    would.set_defaults(run=_plan)
    return parser


def _add_pool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-f", "--file", type=Path, required=True, metavar="FILE", help="the OcrPool as YAML"
    )
    parser.add_argument("--device", choices=("gpu", "cpu"), help="overrides spec.device")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.05 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.05 and 3600 seconds")
    return value


def _bytes(text: str) -> int:
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _load_pool_and_devices(args: argparse.Namespace) -> tuple[PoolFile, tuple[LocalDevice, ...]]:
    pool = load_pool(args.file)
    kind = args.device or pool.spec.device
    return pool, find_devices(kind, os.environ)


def _up(args: argparse.Namespace) -> int:
    pool, devices = _load_pool_and_devices(args)
    if args.port and not 1 <= args.port <= HIGHEST_PORT + 1 - 2 * len(devices):
        raise LocalError(
            f"--port {args.port}: {len(devices)} workers need two ports each from there on; the "
            f"highest port is {HIGHEST_PORT}",
            status=EXIT_USAGE,
        )
    _check_ports(args, pool.name, 2 * len(devices))

    def settings(device: str, index: int) -> Mapping[str, Any]:
        port = args.port + 2 * index if args.port else 0
        return worker_settings(
            pool,
            device,
            models=args.models,
            host=args.host,
            port=port,
            control_port=port + 1 if port else 0,
            interval=args.interval,
        )

    def limits(worker: str) -> InstanceLimits:
        limits = pool.limits(worker)
        return limits if args.cool_down is None else replace(limits, cool_down=args.cool_down)

    name = pool.name
    grace = settings_from(dict(settings(devices[0].setting, 0))).http.grace_seconds

    async def run() -> None:
        shutdown = ShutdownSignals()  # from here on a signal drains the workers
        notices = Notices(time.monotonic)
        with claim_pool(name) as folder, display(name) as show:
            workers = workers_of(devices, settings, folder, notices)
            controller = LocalController(
                name,
                limits,
                workers,
                folder,
                interval=args.interval,
                grace=grace,
                show=show,
                notices=notices,
                shutdown=shutdown,
            )
            await controller.run()

    asyncio.run(run())
    return 0


def _check_ports(args: argparse.Namespace, name: str, count: int) -> None:
    """Refuse ports that another pool of this user has, before anything is started."""
    ours = range(args.port, args.port + count) if args.port else range(0)
    for other in running_pools():
        ports = {port for one in other.workers for port in (one.port, one.control_port)}
        if other.pool != name and other.host == args.host and not ports.isdisjoint(ours):
            raise LocalError(
                f"--port {args.port}: pool {other.pool} (pid {other.pid}) listens on "
                f"{', '.join(map(str, sorted(ports.intersection(ours))))}; use for example "
                f"--port {max(ports) + 1}, or 0 for any free ports",
                status=EXIT_USAGE,
            )


def _status(args: argparse.Namespace) -> int:
    running = running_pools()
    if not running:
        raise LocalError(
            "nothing is running; start it with `ocrpool up -f FILE`", status=EXIT_NOT_RUNNING
        )
    console = Console()
    for pool in running:
        rows: list[Row] = [_row(pool, worker) for worker in pool.workers]
        console.print(table(f"{pool.pool} (pid {pool.pid})", rows))
    return 0


def _row(pool: RuntimeState, worker: WorkerRuntimeState) -> Row:
    where = f"http://{pool.host}:{worker.port}" if worker.port else "–"
    return worker.name, worker.device, where, _state(pool, worker), worker.decision


def _state(pool: RuntimeState, worker: WorkerRuntimeState) -> State | None:
    """The worker's state, or None if it does not answer."""
    if not worker.control_port:
        return None
    url = f"http://{pool.host}:{worker.control_port}/v1/state"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return State.model_validate_json(answer.read())
    except (OSError, urllib.error.URLError, ValidationError):
        return None


def _plan(args: argparse.Namespace) -> int:
    pool, devices = _load_pool_and_devices(args)
    live = [one for one in running_pools() if one.pool == pool.name]
    if live:
        print(f"{pool.name} runs (pid {live[0].pid}). Its next decisions with this file:")
        for worker in live[0].workers:
            state = _state(live[0], worker)
            decision = (
                "no answer" if state is None else next_decision(pool.limits(), state).sentence
            )
            print(f"  {worker.name} ({worker.device}): {decision}")
    else:
        footprint = args.footprint or pool.limits().per_instance
        for device in devices:
            _print_plan(pool, device, footprint)
    sys.stdout.flush()
    return 0


def _print_plan(pool: PoolFile, found: LocalDevice, footprint: int | None) -> None:
    try:
        probe = probe_for(found.setting)
    except SettingsError as error:
        raise LocalError(str(error), status=EXIT_USAGE) from None
    identity, look = probe.identity(), probe.observe()
    memory = look.memory
    shown = look.problem.message if look.problem is not None else "memory cannot be read"
    if memory is not None:
        headroom = format_bytes(max(0, memory.free - pool.limits().reserve))
        shown = (
            f"{format_bytes(memory.free)} free of {format_bytes(memory.total)}, "
            f"{format_bytes(pool.limits().reserve)} reserve, headroom {headroom}"
        )
    print(f"{found.setting} ({identity.name}): {shown}")
    device = Device(kind=identity.kind, name=identity.name, uuid=identity.uuid, memory=memory)
    first = next(steps(pool.limits(), device, 0))
    if first.reason != "NotMeasured":  # no instance can start, or the memory is unknown
        print(f"  {first.sentence}")
        return
    print(
        "  the first instance starts alone, and its memory at the largest admitted page is measured"
    )
    if footprint is None:
        print(
            "  its footprint is unknown until then; assume one with --footprint, for example 1.4Gi"
        )
        return
    for decision in steps(pool.limits(), device, footprint):
        print(f"  {decision.sentence}")


if __name__ == "__main__":
    raise SystemExit(main())
