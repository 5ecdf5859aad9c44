"""Write the CRD (manifests, chart) and docs/api.md from the OcrPool types.

With --check, fail when one of them is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ocrpool.resource.crd import custom_resource_definition

ROOT = Path(__file__).resolve().parents[2]
HEAD = """# OcrPool

Generated from `ocrpool/resource/` by `make docs`; `make check` fails when it is stale.
`kubectl explain ocrpool.spec` prints the same descriptions. Short name: `ocrp`.
"""


def crd_text() -> str:
    note = "# Generated from ocrpool/resource/ by `make docs`.\n"
    return note + yaml.safe_dump(custom_resource_definition(), sort_keys=False, width=100)


def doc_text() -> str:
    schema = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    parts = [HEAD]
    for part, title in (("spec", "desired state"), ("status", "observed state")):
        head = ["field", "default", "meaning"] if part == "spec" else ["field", "meaning"]
        parts.append(f"\n## {part}: {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}\n")
        parts += [f"{row}\n" for row in rows(schema["properties"][part], part == "spec")]
    parts.append("\n## Rules between fields\n\n")
    parts += [f"- {message}\n" for message in sentences(schema)]
    return "".join(parts)


def rows(node: Mapping[str, Any], with_default: bool, prefix: str = "") -> Iterator[str]:
    for name, field in node.get("properties", {}).items():
        path = f"{prefix}{name}"
        if "description" not in field:
            raise SystemExit(f"{path} has no description")
        inner = field.get("items", field)
        suffix = "[]." if "items" in field else "."
        if inner.get("properties"):
            if field.get("description"):
                yield row(path, "", field["description"], with_default)
            yield from rows(inner, with_default, path + suffix)
            continue
        yield row(path, shown(field), field["description"] + bounds(field), with_default)


def row(path: str, default: str, text: str, with_default: bool) -> str:
    cells = [f"`{path}`", default, text] if with_default else [f"`{path}`", text]
    return f"| {' | '.join(cells)} |"


def shown(field: Mapping[str, Any]) -> str:
    if "default" not in field:
        return "none"
    value = field["default"]
    return f"`{value}`" if not isinstance(value, bool) else f"`{str(value).lower()}`"


def bounds(field: Mapping[str, Any]) -> str:
    found = []
    if "enum" in field:
        found.append(" or ".join(f"`{value}`" for value in field["enum"]))
    if "minimum" in field:
        found.append(f"{'>' if field.get('exclusiveMinimum') else '≥'} {field['minimum']:g}")
    if "maximum" in field:
        found.append(f"≤ {field['maximum']:g}")
    return f" ({', '.join(found)})" if found else ""


def sentences(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for item in node.get("x-kubernetes-validations", ()):
            yield item["message"]
        for value in node.values():
            yield from sentences(value)


def main() -> int:
    targets = {
        "manifests/crd.yaml": crd_text(),
        "charts/ocrpool/files/crd.yaml": crd_text(),
        "docs/api.md": doc_text(),
    }
    stale = [
        name
        for name, text in targets.items()
        if not (ROOT / name).exists() or (ROOT / name).read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        for name in stale:
            print(f"{name} is stale: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (ROOT / name).write_text(targets[name], encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
