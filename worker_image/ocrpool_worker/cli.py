"""The command line `ocrpool-worker`: `serve`, and `models` for the model files."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ocrpool.version import VERSION
from ocrpool_worker import logs
from ocrpool_worker.errors import BootError, ModelError, OcrPoolError, SettingsError
from ocrpool_worker.models.commands import add_commands
from ocrpool_worker.settings import WorkerSettings, load_settings, settings_from
from ocrpool_worker.signals import interrupt_as_usual

# Exit statuses for errors that a person must fix before a new start can succeed.
EXIT_SETTINGS = 2
EXIT_MODELS = 3
EXIT_BOOT = 4
EXIT_OTHER = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Every expected error is one line on standard error."""
    args = _parser().parse_args(arguments)
    if args.run is not _serve:
        interrupt_as_usual()
    try:
        return int(args.run(args))
    except OcrPoolError as error:
        text = str(error)
        if isinstance(error, ModelError | BootError):
            text = f"{error.reason}: {text}"
        print(f"ocrpool-worker: {text}", file=sys.stderr)
        if isinstance(error, SettingsError):
            return EXIT_SETTINGS
        if isinstance(error, ModelError):
            return EXIT_MODELS
        return EXIT_BOOT if isinstance(error, BootError) else EXIT_OTHER
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ocrpool-worker", description="Run several isolated OCR processes as one HTTP server"
    )
    parser.add_argument("--version", action="version", version=f"ocrpool {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_serve(commands)
    add_commands(commands)
    return parser


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "serve OCR on the data port, state and probes on the control port"
    serve = commands.add_parser("serve", help=text, description=text)
    serve.add_argument("--config", type=Path, metavar="FILE", help="YAML file with settings")
    serve.add_argument("--models", metavar="DIR", help="folder of staged models (models.dir)")
    serve.add_argument("--instances", type=int, metavar="N", help="OCR processes to start with")
    serve.add_argument("--device", help="cpu, gpu, gpu:0 or gpu:UUID")
    serve.add_argument("--host", help="address to listen on, for both ports")
    serve.add_argument("--port", type=int, help="data port; 0 = any free one")
    serve.add_argument("--control-port", type=int, help="control port; 0 = any free one")
    serve.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="any other setting, for example --set admission.maxMegapixels=9",
    )
    serve.add_argument(
        "--on-failed-start",
        choices=("exit", "wait"),
        default="exit",
        help="what to do if no instance starts: exit with the reason (default), or keep running, "
        "not ready, with the reason on the control port (the operator uses wait)",
    )
    serve.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    serve.set_defaults(run=_serve)


def _serve(args: argparse.Namespace) -> int:
    raw = load_settings(args.config) if args.config is not None else {}
    given = {
        "models.dir": args.models,
        "device": args.device,
        "http.host": args.host,
        "http.controlHost": args.host,
        "http.port": args.port,
        "http.controlPort": args.control_port,
    }
    for path, value in given.items():
        if value is not None:
            _put(raw, path, value)
    for assignment in args.set:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise SettingsError(f"--set {assignment}: write PATH=VALUE")
        try:
            _put(raw, path, yaml.safe_load(text))
        except yaml.YAMLError:
            raise SettingsError(f"--set {assignment}: the value is not YAML") from None
    origin = str(args.config) if args.config is not None else "settings"
    settings = settings_from(raw, origin=origin)
    instances = _instances(args.instances, settings)
    logs.set_up(args.log_level)
    # Imported here, because the command `models` and wrong settings need no server.
    import uvloop  # noqa: PLC0415

    from ocrpool_worker.http.server import serve  # noqa: PLC0415

    # Loaded modules live as long as the process, so the collector need not scan them again.
    # Requests leave almost nothing that only the collector can free.
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)
    uvloop.run(
        serve(settings, instances=instances, wait_on_failed_start=args.on_failed_start == "wait")
    )
    return 0


def _instances(asked: int | None, settings: WorkerSettings) -> int:
    if asked is None:
        return settings.instances.min
    most = settings.instances.max
    if not 0 <= asked <= most:
        raise SettingsError(f"--instances {asked}: it must be 0 to {most} (instances.max)")
    return asked


def _put(raw: dict[str, Any], path: str, value: Any) -> None:
    """Set `a.b.c` in nested mappings. Raises SettingsError if a parent is not a mapping."""
    *parents, last = path.split(".")
    for parent in parents:
        raw = raw.setdefault(parent, {})
        if not isinstance(raw, dict):
            raise SettingsError(f"{path}: {parent} is not a mapping")
    raw[last] = value


if __name__ == "__main__":
    raise SystemExit(main())
