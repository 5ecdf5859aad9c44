"""Make the virtual environment, or say in one line what this machine lacks for it."""

from __future__ import annotations

import sys
import venv
from pathlib import Path

OLDEST = (3, 11)
NEWEST = (3, 13)  # paddlepaddle 3.2.2 has wheels up to CPython 3.13


def main() -> int:
    found = sys.version_info[:2]
    if not OLDEST <= found <= NEWEST:
        wanted = f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
        print(
            f"Python {found[0]}.{found[1]} found, {wanted} needed: make PYTHON=python3.12 …",
            file=sys.stderr,
        )
        return 1
    target = Path(sys.argv[1])
    if (target / "bin" / "pip").exists() and (target / "bin" / "python").exists():
        return 0  # made before; what is in it changes with the packages
    try:
        venv.create(target, with_pip=True, clear=True, symlinks=True)
    except Exception as error:
        print(
            f"No virtual environment could be made ({error}). On Debian or Ubuntu: "
            "apt-get install python3-venv",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
