"""Write the end of docs/architecture.md: layers from pyproject.toml, modules from their docstrings.

With --check, fail where it is stale.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "docs" / "architecture.md"
MARK = "<!-- From here on this page is written by `make docs`. -->\n"

# Where the modules of each import name are.
FOLDERS = {
    "ocrpool": ROOT / "ocrpool",
    "ocrpool_worker": ROOT / "worker_image" / "ocrpool_worker",
    "ocrpool_operator": ROOT / "operator" / "ocrpool_operator",
}
TITLES = {
    "ocrpool": "`pip install ocrpool`",
    "ocrpool_worker": "The worker",
    "ocrpool_operator": "The operator",
}


@dataclass(frozen=True)
class Module:
    """One file, with the first sentence of its docstring."""

    path: Path
    summary: str


def modules(folder: Path) -> Iterator[Module]:
    """Every module below a folder. A package counts if its `__init__.py` has a docstring."""
    for path in sorted(folder.rglob("*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if path.name != "__init__.py" or docstring:
            yield Module(path, first_sentence(docstring))


def first_sentence(docstring: str) -> str:
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    end = paragraph.find(". ")
    return (paragraph if end < 0 else paragraph[:end]).removesuffix(".").replace("|", "\\|")


def module_tables() -> Iterator[str]:
    for name, folder in FOLDERS.items():
        yield f"\n### {TITLES[name]}\n"
        packages: dict[Path, list[Module]] = {}
        for module in modules(folder):
            packages.setdefault(module.path.parent, []).append(module)
        for package, found in sorted(packages.items()):
            about = next((one.summary for one in found if one.path.name == "__init__.py"), "")
            path = package.relative_to(ROOT)
            yield f"\n**[`{path}/`](../{path})** {about}\n\n| module | |\n|---|---|\n"
            for one in found:
                if one.path.name != "__init__.py":
                    link = f"[`{one.path.name}`](../{one.path.relative_to(ROOT)})"
                    yield f"| {link} | {one.summary} |\n"


def contracts() -> Sequence[Mapping[str, Any]]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found: Sequence[Mapping[str, Any]] = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    return found


def drawing(contract: Mapping[str, Any]) -> str:
    """The layers of one package. Each may import those below it."""
    layers = [layer.replace(" | ", " · ") for layer in contract["layers"]]
    nodes = "\n".join(f'  l{number}["{layer}"]' for number, layer in enumerate(layers))
    arrows = "  " + " --> ".join(f"l{number}" for number in range(len(layers)))
    (package,) = contract["containers"]
    return (
        f"\n### Layers of `{package}`\n\n{contract['name']}.\n\n"
        f"```mermaid\nflowchart TB\n{nodes}\n{arrows}\n```\n"
    )


def boundary(contract: Mapping[str, Any]) -> str:
    def quoted(names: Sequence[str]) -> str:
        return ", ".join(f"`{name}`" for name in names)

    who, what = quoted(contract["source_modules"]), quoted(contract["forbidden_modules"])
    return f"| {contract['name']} | {who} | {what} |\n"


def generated() -> str:
    parts = ["\n## Import boundaries\n\n`make check` enforces them (`pyproject.toml`). "]
    parts.append(
        "A layer imports the layers below it; parts on one line do not import each other.\n"
    )
    found = contracts()
    parts += [drawing(one) for one in found if one["type"] == "layers"]
    parts.append(
        "\n### Imports that are forbidden\n\n| rule | modules | may not import |\n|---|---|---|\n"
    )
    parts += [boundary(one) for one in found if one["type"] == "forbidden"]
    parts.append("\n## Modules\n\nEach with the first sentence of its docstring.\n")
    return "".join([*parts, *module_tables()])


def main() -> int:
    before = TARGET.read_text(encoding="utf-8")
    written, mark, _ = before.partition(MARK)
    if not mark:
        raise SystemExit(f"{TARGET.relative_to(ROOT)} lacks the line {MARK!r}")
    after = written + mark + generated()
    if "--check" in sys.argv[1:]:
        if after != before:
            print("docs/architecture.md is stale: run `make docs`", file=sys.stderr)
        return int(after != before)
    TARGET.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
