"""Write the chart's values.schema.json and the table in its README from its annotated values.yaml.

`# --` above a value begins its description; `# @schema {…}` adds what its default does not show. A
`$ref` there names one of SHAPES. With --check, fail when one of the two is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ocrpool.resource.crd import structural
from ocrpool.resource.spec import PoolSpec

CHART = Path(__file__).resolve().parents[2] / "charts" / "ocrpool"
BEGIN, END = "<!-- values: made by `make docs` -->\n", "<!-- end of values -->\n"

Schema = dict[str, Any]

LABEL = "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
NAME = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
STRINGS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
QUANTITY: Schema = {
    "type": ["string", "number"],
    "pattern": r"^\d+(\.\d+)?(m|[kMGTPE]|[KMGTPE]i)?$",
}
QUANTITIES: Schema = {"type": "object", "additionalProperties": QUANTITY}


def closed(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """Return the schema of an object with these fields and no others."""
    found: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return found | {"required": list(required)} if required else found


def listed(item: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": item, **more}


SELECTOR = closed(
    matchLabels=STRINGS,
    matchExpressions=listed(
        closed(
            ("key", "operator"),
            key={"type": "string", "minLength": 1},
            operator={"enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
            values=listed({"type": "string"}),
        )
    ),
)
PEER = closed(
    podSelector=SELECTOR,
    namespaceSelector=SELECTOR,
    ipBlock=closed(
        ("cidr",),
        cidr={"type": "string", "minLength": 1},
        **{"except": listed({"type": "string"})},
    ),
)
SHAPES: dict[str, Schema] = {
    "strings": STRINGS,
    "words": listed({"type": "string", "minLength": 1}),
    "namespaces": listed({"type": "string", "pattern": NAME}, uniqueItems=True),
    "references": listed(closed(("name",), name={"type": "string", "minLength": 1})),
    "tag": {"type": "string", "pattern": r"^([A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?$"},
    "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "duration": {"type": "string", "pattern": r"^([0-9]+(ms|s|m|h))+$"},
    "resources": closed(requests=QUANTITIES, limits=QUANTITIES),
    "variables": listed(
        closed(
            ("name",),
            name={"type": "string", "minLength": 1},
            value={"type": "string"},
            valueFrom={"type": "object"},
        )
    ),
    "tolerations": listed(
        closed(
            key={"type": "string"},
            operator={"enum": ["Exists", "Equal"]},
            value={"type": "string"},
            effect={"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
            tolerationSeconds={"type": "integer"},
        )
    ),
    "peers": listed(PEER | {"minProperties": 1}),
    # Kubernetes types; the API server checks them.
    "kubernetes": {"type": "object"},
    "kubernetesList": listed({"type": "object"}),
    "pools": listed(
        closed(
            ("name", "spec"),
            name={"type": "string", "pattern": "^[a-z]([-a-z0-9]{0,56}[a-z0-9])?$"},
            namespace={"type": "string", "pattern": NAME},
            labels=STRINGS,
            annotations=STRINGS,
            spec={"$ref": "#/$defs/poolSpec"},
        )
    ),
}


@dataclass(frozen=True)
class Value:
    """One value of values.yaml, or a group of them."""

    path: str
    default: Any
    text: str = ""
    schema: Schema = field(default_factory=dict)
    inner: tuple[Value, ...] = ()

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]


def read(text: str) -> tuple[Value, ...]:
    """Return the values with their annotations. Exit with a message if a value has none."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return _children(root, yaml.safe_load(text), text.splitlines(), "")


def _children(
    node: yaml.MappingNode, values: Mapping[str, Any], lines: list[str], prefix: str
) -> tuple[Value, ...]:
    found = []
    for key, child in node.value:
        path, default = f"{prefix}{key.value}", values[key.value]
        words, schema = _annotation(lines, key.start_mark.line)
        if words:
            found.append(Value(path, default, words, schema))
        elif isinstance(child, yaml.MappingNode) and child.value:
            inner = _children(child, default, lines, f"{path}.")
            found.append(Value(path, default, inner=inner))
        else:
            raise SystemExit(f"values.yaml: {path} has no description (# -- …)")
    return tuple(found)


def _annotation(lines: list[str], line: int) -> tuple[str, Schema]:
    """Return the description and the schema in the comment above a line."""
    begin = line
    while begin and lines[begin - 1].lstrip().startswith("#"):
        begin -= 1
    words: list[str] = []
    schema: Schema = {}
    for comment in (each.lstrip()[1:].strip() for each in lines[begin:line]):
        if comment.startswith("@schema"):
            schema = yaml.safe_load(comment.removeprefix("@schema"))
        elif comment.startswith("--"):
            words = [comment.removeprefix("--").strip()]
        elif words:
            words.append(comment)
    return " ".join(words), schema


def schema_of(values: tuple[Value, ...]) -> Schema:
    properties = {value.name: _property(value) for value in values}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _property(value: Value) -> Schema:
    if value.inner:
        return schema_of(value.inner)
    said = dict(value.schema)
    if "$ref" in said:
        said["$ref"] = f"#/$defs/{said['$ref']}"
    elif not {"type", "enum"} & said.keys():
        said["type"] = _type(value)
    return {"description": value.text, "default": value.default, **said}


def _type(value: Value) -> str:
    # bool is a subclass of int.
    for kind, word in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")):
        if isinstance(value.default, kind):
            return word
    raise SystemExit(
        f"values.yaml: {value.path} needs `# @schema`: its default does not show its type"
    )


def plain(node: Schema) -> Schema:
    """Return the CRD's schema of a pool as JSON Schema: closed, without CEL and defaults."""
    found = {
        key: value
        for key, value in node.items()
        if not key.startswith("x-kubernetes-") and key != "default"
    }
    if node.get("x-kubernetes-int-or-string"):
        found["type"] = ["string", "integer"]
    for bound in ("Minimum", "Maximum"):
        if found.pop(f"exclusive{bound}", False):
            found[f"exclusive{bound}"] = found.pop(bound.lower())
    if "properties" in found:
        found["properties"] = {name: plain(value) for name, value in found["properties"].items()}
        found["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), Mapping):
            found[key] = plain(found[key])
    return found


def schema_text(values: tuple[Value, ...]) -> str:
    root = schema_of(values)
    # Helm adds it if this chart is a dependency of another.
    root["properties"]["global"] = {"type": "object", "description": "Set by a parent chart."}
    defs = {**SHAPES, "poolSpec": plain(structural(PoolSpec))}
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of ocrpool"}
    return json.dumps({**head, **root, "$defs": defs}, indent=1, ensure_ascii=False) + "\n"


def table(values: tuple[Value, ...]) -> str:
    rows = [f"| `{each.path}` | {_shown(each.default)} | {each.text} |" for each in leaves(values)]
    return "\n".join(["| value | default | meaning |", "|---|---|---|", *rows]) + "\n"


def leaves(values: tuple[Value, ...]) -> Iterator[Value]:
    """Yield every value that has a description."""
    for value in values:
        if value.inner:
            yield from leaves(value.inner)
        else:
            yield value


def _shown(default: Any) -> str:
    return f"`{json.dumps(default, ensure_ascii=False)}`"


def readme_text(values: tuple[Value, ...], before: str) -> str:
    head, _, rest = before.partition(BEGIN)
    if END not in rest:
        raise SystemExit("charts/ocrpool/README.md lacks the marks of the values' table")
    return f"{head}{BEGIN}{table(values)}{END}{rest.partition(END)[2]}"


def main() -> int:
    values = read((CHART / "values.yaml").read_text(encoding="utf-8"))
    readme = CHART / "README.md"
    targets = {
        CHART / "values.schema.json": schema_text(values),
        readme: readme_text(values, readme.read_text(encoding="utf-8")),
    }
    stale = [
        path
        for path, text in targets.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"charts/ocrpool/{path.name} is stale: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(targets[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
