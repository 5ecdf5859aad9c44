"""Print what extras of pyproject.toml ask for, one requirement a line: `requirements.py operator`.

The images install these before the project's own code, so that a change of the code leaves the
layer with the dependencies as it is.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
_OWN = re.compile(r"ocrpool\[([\w,]+)\]")


def requirements(extras: Iterable[str], available: Mapping[str, Sequence[str]]) -> list[str]:
    """The requirements of `extras`; one that names this project's own extras is followed.

    Raises KeyError for an extra that there is not.
    """
    found: list[str] = []
    for extra in extras:
        for requirement in available[extra]:
            own = _OWN.fullmatch(requirement)
            found += requirements(own[1].split(","), available) if own else [requirement]
    return sorted(set(found))


def main() -> None:
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    try:
        wanted = requirements(sys.argv[1:], project["optional-dependencies"])
    except KeyError as error:
        known = ", ".join(sorted(project["optional-dependencies"]))
        sys.exit(f"no extra {error}; there are: {known}")
    print("\n".join(sorted({*project["dependencies"], *wanted})))


if __name__ == "__main__":
    main()
