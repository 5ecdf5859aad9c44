"""What a text of the repository names: paths, make targets."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Where a path may begin. Other words with a slash in them are none.
_TOP = (
    *(".ci", ".github", "changes", "charts", "docs", "examples", "findings", "manifests"),
    *("ocrpool", "operator", "tests", "tools", "worker_image"),
)
_PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, _TOP))})/[\w./-]*")
_QUOTED = re.compile(r"`([^`\n]+)`")
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
# At the start of a line or of a quotation, where a shell would take it for a command.
_MAKE = re.compile(r"(?:^\$? ?|`|&& |run: )make ((?:[a-z][a-z0-9-]*(?: |$|`))+)", re.MULTILINE)


def paths_in(text: str) -> list[str]:
    """Paths of the repository that a text names in backquotes."""
    quoted = _QUOTED.findall(_FENCED.sub("", text))
    files = [each for each in quoted if re.fullmatch(r"\.?[\w-]+\.(toml|txt|md)", each)]
    return files + [path for each in quoted for path in _PATH.findall(each)]


def targets_in(text: str) -> set[str]:
    """Make targets that a text has as commands."""
    return {target for targets in _MAKE.findall(text) for target in targets.strip("` ").split()}


def make_targets() -> set[str]:
    """Targets of the Makefile and of what it includes."""
    makefiles = (ROOT / "Makefile", ROOT / "tools" / "devcluster" / "devcluster.mk")
    texts = [path.read_text(encoding="utf-8") for path in makefiles]
    return {name for text in texts for name in re.findall(r"^([a-z][a-z0-9-]*):", text, re.M)}
