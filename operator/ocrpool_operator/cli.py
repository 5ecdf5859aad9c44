"""`ocrpool-operator run` and `ocrpool-operator smoke-test`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import secrets
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kopf
import yaml

from ocrpool.resource.names import OPERATOR, WORKER_IMAGE, lease_name
from ocrpool.resource.spec import OPERATOR_LENGTH, OPERATOR_PATTERN
from ocrpool_operator import logs
from ocrpool_operator.cluster.lease import LeaseSettings
from ocrpool_operator.manifests.network_policies import IngressRules
from ocrpool_operator.run import Options, run
from ocrpool_operator.smoke_test import SmokeTest, SmokeTestError, run_smoke_test

_RESOLV_CONF = Path("/etc/resolv.conf")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. An expected failure is one line on standard error."""
    parser = _parser()
    args = parser.parse_args(arguments)
    logs.set_up(args.log_level)
    # kopf replaces it later. Process 1 of a container ignores a signal without a handler.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if args.command == "smoke-test":
            asyncio.run(
                run_smoke_test(smoke_test_from(args), lambda words: print(words, flush=True))
            )
        else:
            asyncio.run(run(options_from(args)))
    except (kopf.LoginError, OSError, OptionError, SmokeTestError) as error:
        print(f"ocrpool-operator: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


class OptionError(Exception):
    """Options that contradict each other."""


def options_from(args: argparse.Namespace) -> Options:
    lease = None
    if args.lease:
        identity = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        namespace, _, name = args.lease.partition("/")
        shared = lease_name(args.operator_name)
        if name not in ("", shared):
            raise OptionError(
                f"--lease {args.lease}: operators called {args.operator_name} share the Lease "
                f"{shared}, otherwise two of them would act at once; use --lease {namespace}, or "
                "another --operator-name"
            )
        lease = LeaseSettings(namespace, shared, identity)
    return Options(
        namespaces=tuple(args.namespace),
        interval=args.interval,
        host=args.host,
        port=args.port,
        lease=lease,
        worker_image=args.worker_image,
        operator=args.operator_name,
        ingress=args.network_policy,
        cluster_domain=args.cluster_domain or domain_in(_RESOLV_CONF),
    )


def domain_in(file: Path) -> str:
    """The cluster's DNS domain, from the search list in a pod's resolv.conf."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for line in lines:
        for word in line.split()[1:] if line.startswith("search") else ():
            if word.startswith("svc."):
                return word.removeprefix("svc.").rstrip(".")
    return "cluster.local"


def smoke_test_from(args: argparse.Namespace) -> SmokeTest:
    return SmokeTest(args.namespace, args.name, args.spec, args.expect, args.url, args.seconds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ocrpool-operator", description="Manages OcrPools: one worker pod per GPU"
    )
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    _add_run(commands)
    _add_smoke_test(commands)
    return parser


def _add_smoke_test(commands: Any) -> None:
    text = "create a small OcrPool, send it a picture, and delete it again"
    command = commands.add_parser("smoke-test", help=text, description=text)
    command.add_argument("--namespace", required=True, metavar="NAME", help="the pool's namespace")
    command.add_argument("--name", default="ocrpool-test", help="the pool's name (%(default)s)")
    command.add_argument("--spec", type=_spec, default={}, metavar="JSON", help="the pool's spec")
    command.add_argument(
        "--expect",
        default="",
        metavar="WORDS",
        help="words that the read text must contain, for example OCR",
    )
    command.add_argument(
        "--url", default="", help="URL of the pool, if it is not its Service's name"
    )
    command.add_argument("--seconds", type=_seconds, default=300.0, help="time limit (%(default)s)")
    command.set_defaults(log_level="warning")


def _add_run(commands: Any) -> None:
    text = "watch OcrPools and manage their workers until a signal ends it"
    command = commands.add_parser("run", help=text, description=text)
    command.add_argument(
        "--namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="watch only this namespace; may be repeated. Without it: the whole cluster",
    )
    command.add_argument(
        "--operator-name",
        type=_operator,
        default=OPERATOR,
        metavar="NAME",
        help="manage only the pools with this spec.operatorName (%(default)s)",
    )
    command.add_argument(
        "--lease",
        metavar="NAMESPACE",
        help="act only while holding the Lease NAME-operator in this namespace. All operators of "
        "this name share it; the others stand by",
    )
    command.add_argument(
        "--worker-image",
        default=WORKER_IMAGE,
        metavar="IMAGE",
        help="image of pools without one of their own; a new image rolls them (%(default)s)",
    )
    command.add_argument(
        "--network-policy",
        type=_ingress,
        metavar="FILE",
        help="create a NetworkPolicy for every pool, with the ingress rules in this YAML file: who "
        "may reach ports 8080 and 8081 of its workers. Without it: none",
    )
    command.add_argument(
        "--interval", type=_seconds, default=5.0, help="seconds between rounds (%(default)s)"
    )
    command.add_argument(
        "--host", default="0.0.0.0", help="address of /healthz and /metrics (%(default)s)"
    )
    command.add_argument("--port", type=int, default=8082, help="their port (%(default)s)")
    command.add_argument(
        "--cluster-domain",
        metavar="DOMAIN",
        help="the cluster's DNS domain. Without it: from /etc/resolv.conf, else cluster.local",
    )
    command.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info"
    )


def _spec(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError("not an object")
    return found


def _ingress(path: str) -> IngressRules:
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise argparse.ArgumentTypeError(f"{path}: {error}") from None
    if not isinstance(found, list) or not all(isinstance(rule, dict) for rule in found):
        raise argparse.ArgumentTypeError(f"{path} is not a list of NetworkPolicy ingress rules")
    return found


def _operator(text: str) -> str:
    if len(text) > OPERATOR_LENGTH or re.match(OPERATOR_PATTERN, text) is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a name of at most {OPERATOR_LENGTH} lower-case letters, digits and "
            "dashes that begins with a letter"
        )
    return text


def _seconds(text: str) -> float:
    value = float(text)
    if value < 0.1:
        raise argparse.ArgumentTypeError("at least 0.1")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
