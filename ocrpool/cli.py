"""`ocrpool`: an OcrPool on this machine, without a cluster."""

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

from ocrpool.local.controller import Shell, workers_of
from ocrpool.local.devices import Found, devices_for
from ocrpool.local.dry_run import next_decision, steps
from ocrpool.local.errors import EXIT_NOTHING, EXIT_WRONG, LocalError
from ocrpool.local.notices import Notices
from ocrpool.local.pool_file import Pool, load_pool, worker_settings
from ocrpool.local.runtime_state import Running, RunningWorker, all_running, claimed
from ocrpool.local.shutdown import Stopping
from ocrpool.local.table import Row, display, table
from ocrpool.planner.instances.types import Limits
from ocrpool.protocol import Device, State
from ocrpool.protocol.quantity import format_bytes, parse_bytes
from ocrpool.version import VERSION
from ocrpool_worker.devices import probe_for
from ocrpool_worker.errors import SettingsError
from ocrpool_worker.settings import settings_from

HIGHEST_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; every expected failure is one line on standard error."""
    args = _parser().parse_args(arguments)
    try:
        status = int(args.run(args))
    except LocalError as error:
        _say(str(error))
        status = error.status
    except BrokenPipeError:  # whoever reads our output has seen enough
        status = 1
    except OSError as error:
        _say(str(error))
        status = 1
    except KeyboardInterrupt:
        status = 130
    _drop_what_nobody_takes()
    return status


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"ocrpool: {text}", file=sys.stderr)


def _drop_what_nobody_takes() -> None:
    """Python writes out what is left of standard output when it ends, and fails loudly."""
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
        "run a worker on every GPU (or on the CPU), with as many instances as memory has room for"
    )
    up = commands.add_parser("up", help=text, description=text)
    _add_pool(up)
    up.add_argument("--models", type=Path, metavar="DIR", help="folder of staged models")
    up.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    up.add_argument(
        "--port",
        type=int,
        default=8080,
        help="data port of the first worker, its control port is the next one, then come the next "
        "worker's (%(default)s); 0 = any free ones",
    )
    up.add_argument(
        "--interval",
        type=_seconds,
        default=2.0,
        metavar="SECONDS",
        help="time between two observations (%(default)g)",
    )
    up.add_argument(
        "--cool-down",
        type=_seconds,
        metavar="SECONDS",
        help="time without growth after a worker had to shrink (60)",
    )
    up.set_defaults(run=_up)
    text = "show what `ocrpool up` runs now"
    status = commands.add_parser("status", help=text, description=text)
    status.set_defaults(run=_status)
    text = "say what `ocrpool up` would do here, and why, without doing it"
    would = commands.add_parser("plan", help=text, description=text)
    _add_pool(would)
    would.add_argument(
        "--footprint",
        type=_bytes,
        metavar="BYTES",
        help="plan as if an instance were measured to hold so much, for example 1.4Gi",
    )
    would.set_defaults(run=_plan)
    return parser


def _add_pool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-f", "--file", type=Path, required=True, metavar="FILE", help="the OcrPool as YAML"
    )
    parser.add_argument("--device", choices=("gpu", "cpu"), help="instead of spec.device")


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


def _found(args: argparse.Namespace) -> tuple[Pool, tuple[Found, ...]]:
    pool = load_pool(args.file)
    kind = args.device or pool.spec.device
    return pool, devices_for(kind, os.environ)


def _up(args: argparse.Namespace) -> int:
    pool, found = _found(args)
    if args.port and not 1 <= args.port <= HIGHEST_PORT + 1 - 2 * len(found):
        raise LocalError(
            f"--port {args.port}: {len(found)} workers need ports from it on, two each, up to "
            f"{HIGHEST_PORT}",
            status=EXIT_WRONG,
        )
    _check_ports(args, pool.name, 2 * len(found))

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

    def limits(worker: str) -> Limits:
        found = pool.limits(worker)
        return found if args.cool_down is None else replace(found, cool_down=args.cool_down)

    name = pool.name
    grace = settings_from(dict(settings(found[0].setting, 0))).http.grace_seconds

    async def run() -> None:
        stopping = Stopping()  # until now a signal has ended us at once, and from now on in order
        notices = Notices(time.monotonic)
        with claimed(name) as folder, display(name) as show:
            workers = workers_of(found, settings, folder, notices)
            shell = Shell(
                name,
                limits,
                workers,
                folder,
                interval=args.interval,
                grace=grace,
                show=show,
                notices=notices,
                stopping=stopping,
            )
            await shell.run()

    asyncio.run(run())
    return 0


def _check_ports(args: argparse.Namespace, name: str, count: int) -> None:
    """Told before anything is started: pools of one user mostly ask for the same ports."""
    ours = range(args.port, args.port + count) if args.port else range(0)
    for other in all_running():
        ports = {port for one in other.workers for port in (one.port, one.control_port)}
        if other.pool != name and other.host == args.host and not ports.isdisjoint(ours):
            raise LocalError(
                f"--port {args.port}: pool {other.pool} (pid {other.pid}) listens on "
                f"{', '.join(map(str, sorted(ports.intersection(ours))))}; give for example "
                f"--port {max(ports) + 1}, or 0 for any free ones",
                status=EXIT_WRONG,
            )


def _status(args: argparse.Namespace) -> int:
    running = all_running()
    if not running:
        raise LocalError(
            "nothing is running; start it with `ocrpool up -f FILE`", status=EXIT_NOTHING
        )
    console = Console()
    for pool in running:
        rows: list[Row] = [_row(pool, worker) for worker in pool.workers]
        console.print(table(f"{pool.pool} (pid {pool.pid})", rows))
    return 0


def _row(pool: Running, worker: RunningWorker) -> Row:
    where = f"http://{pool.host}:{worker.port}" if worker.port else "–"
    return worker.name, worker.device, where, _state(pool, worker), worker.decision


def _state(pool: Running, worker: RunningWorker) -> State | None:
    """The worker's state, or None where it does not answer."""
    if not worker.control_port:
        return None
    url = f"http://{pool.host}:{worker.control_port}/v1/state"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return State.model_validate_json(answer.read())
    except (OSError, urllib.error.URLError, ValidationError):
        return None


def _plan(args: argparse.Namespace) -> int:
    pool, found = _found(args)
    live = [one for one in all_running() if one.pool == pool.name]
    if live:
        print(f"{pool.name} runs (pid {live[0].pid}); with this file it would next:")
        for worker in live[0].workers:
            state = _state(live[0], worker)
            said = "no answer" if state is None else next_decision(pool.limits(), state).sentence
            print(f"  {worker.name} ({worker.device}): {said}")
    else:
        footprint = args.footprint or pool.limits().per_instance
        for device in found:
            _print_plan(pool, device, footprint)
    sys.stdout.flush()
    return 0


def _print_plan(pool: Pool, found: Found, footprint: int | None) -> None:
    try:
        probe = probe_for(found.setting)
    except SettingsError as error:
        raise LocalError(str(error), status=EXIT_WRONG) from None
    identity, look = probe.identity(), probe.look()
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
    if first.reason != "NotMeasured":  # nothing can boot, or nobody can tell
        print(f"  {first.sentence}")
        return
    print("  one instance boots alone and is measured at the largest admitted page")
    if footprint is None:
        print("  the footprint is not known before; try --footprint, for example --footprint 1.4Gi")
        return
    for decision in steps(pool.limits(), device, footprint):
        print(f"  {decision.sentence}")


if __name__ == "__main__":
    raise SystemExit(main())
