"""`ocrpool-operator run`."""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import kopf

from ocrpool_operator.kubernetes import logs
from ocrpool_operator.kubernetes.lease import LeaseName
from ocrpool_operator.kubernetes.run import Options, run

_RESOLV_CONF = Path("/etc/resolv.conf")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an expected failure is one line on standard error."""
    parser = _parser()
    args = parser.parse_args(arguments)
    logs.set_up(args.log_level)
    try:
        asyncio.run(run(options_from(args)))
    except (kopf.LoginError, OSError) as error:
        print(f"ocrpool-operator: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def options_from(args: argparse.Namespace) -> Options:
    lease = None
    if args.lease:
        namespace, _, name = args.lease.partition("/")
        identity = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        lease = LeaseName(namespace, name or "ocrpool-operator", identity)
    return Options(
        namespaces=tuple(args.namespace),
        interval=args.interval,
        host=args.host,
        port=args.port,
        lease=lease,
        cluster_domain=args.cluster_domain or domain_in(_RESOLV_CONF),
    )


def domain_in(file: Path) -> str:
    """The cluster's domain, as the resolver's search list of a pod says it."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for line in lines:
        for word in line.split()[1:] if line.startswith("search") else ():
            if word.startswith("svc."):
                return word.removeprefix("svc.").rstrip(".")
    return "cluster.local"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ocrpool-operator", description="Keeps OcrPools: one worker pod per GPU"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    text = "watch OcrPools and keep their workers, until told to end"
    command = commands.add_parser("run", help=text, description=text)
    command.add_argument(
        "--namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="look only there; may be said again. Without it: the whole cluster",
    )
    command.add_argument(
        "--lease",
        metavar="NAMESPACE[/NAME]",
        help="act only while holding this Lease, so that a second operator can stand by",
    )
    command.add_argument(
        "--interval", type=_seconds, default=5.0, help="seconds between looks (%(default)s)"
    )
    command.add_argument(
        "--host", default="0.0.0.0", help="address of /healthz and /metrics (%(default)s)"
    )
    command.add_argument("--port", type=int, default=8082, help="their port (%(default)s)")
    command.add_argument(
        "--cluster-domain",
        metavar="DOMAIN",
        help="domain of Services' names; without it what the resolver searches, or cluster.local",
    )
    command.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info"
    )
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if value < 0.1:
        raise argparse.ArgumentTypeError("at least 0.1")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
