"""The version of a release, in every file that names it, and its notes.

python -m tools.release set 1.2.3     write it everywhere; then run `make docs`
python -m tools.release check 1.2.3   exit 1 where a file or CHANGELOG.md does not have it
python -m tools.release notes 1.2.3   print its section of CHANGELOG.md
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSION = r"\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)\.\d+)?"

# File → what stands before the version in it. Files that `make docs` writes are not here.
_IMAGES = r"\bocrpool-(?:operator|worker):"
PLACES: tuple[tuple[str, str], ...] = (
    ("pyproject.toml", r'^version = "'),
    ("ocrpool/version.py", r'^VERSION = "'),
    ("charts/ocrpool/Chart.yaml", r"^(?:appV|v)ersion: "),
    ("operator/Dockerfile", r"^ARG VERSION="),
    ("worker_image/Dockerfile", r"^ARG VERSION="),
    ("examples/pools/model-volume.yaml", _IMAGES),
    ("docs/images.md", _IMAGES),
    ("docs/installation.md", _IMAGES),
)


def versions_in(text: str, before: str) -> list[str]:
    """Every version that a text has after `before`."""
    return re.findall(f"(?:{before})({VERSION})", text, re.MULTILINE)


def with_version(text: str, before: str, version: str) -> str:
    """The text with this version after each `before`."""
    return re.sub(f"({before}){VERSION}", rf"\g<1>{version}", text, flags=re.MULTILINE)


def notes(changelog: str, version: str) -> str:
    """The section of a version, without its title. Empty if there is none."""
    for section in re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        if title.split(" ")[0] == version:
            return text.strip()
    return ""


def problems(root: Path, version: str) -> list[str]:
    """One line for each place that does not have this version."""
    found = []
    for name, before in PLACES:
        there = versions_in((root / name).read_text(encoding="utf-8"), before)
        if set(there) != {version}:
            found.append(f"{name}: {', '.join(there) or 'no version'}, not {version}")
    if not notes((root / "CHANGELOG.md").read_text(encoding="utf-8"), version):
        found.append(f"CHANGELOG.md: no section {version}; run: make changelog VERSION={version}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.release")
    parser.add_argument("what", choices=("set", "check", "notes"))
    parser.add_argument("version", type=str)
    given = parser.parse_args()
    version: str = given.version.removeprefix("v")
    if not re.fullmatch(VERSION, version):
        parser.error(f"{given.version} is not a version like 1.2.3")
    if given.what == "set":
        for name, before in PLACES:
            path = ROOT / name
            path.write_text(with_version(path.read_text("utf-8"), before, version), "utf-8")
        return 0
    if given.what == "check":
        found = problems(ROOT, version)
        print("\n".join(found) or f"every file has {version}", file=sys.stderr)
        return int(bool(found))
    text = notes((ROOT / "CHANGELOG.md").read_text("utf-8"), version)
    if not text:
        print(f"CHANGELOG.md has no section {version}", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
