"""Write docs/settings.md from the settings' types. With --check, fail when it is stale."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ocrpool.protocol.quantity import format_bytes
from ocrpool_worker.settings import Bytes, WorkerSettings

TARGET = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
HEAD = """# Settings of a worker

Generated from `ocrpool_worker/settings.py` and `ocrpool/protocol/settings.py` by `make docs`;
`make check` fails when it is stale.

`ocrpool-worker serve --config FILE` reads one YAML file, with the field names of the OcrPool
resource. Every setting has a default; an unknown one is an error that names it. `--set PATH=VALUE`
overrides a setting, for example `--set admission.maxMegapixels=9`. Numbers of bytes are quantities:
`512Mi`, `2Gi`.

| setting | default | meaning |
|---|---|---|
"""


def rows(model: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += rows(kind, f"{path}.")
            continue
        if not field.description:
            raise SystemExit(f"{path} has no description")
        found.append(
            f"| `{path}` | {default(field)} | {sentence(field.description)}{bounds(field)} |"
        )
    return found


def sentence(text: str) -> str:
    """Return a description with a capital letter, unless it begins with a literal, and a stop."""
    first = text[0].upper() if text.partition(" ")[0].isalpha() else text[0]
    return f"{first}{text[1:].removesuffix('.')}."


def default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, int) and any(item in field.metadata for item in _BYTES):
        return f"`{format_bytes(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def bounds(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {_number(getattr(item, name))}"
        for item in field.metadata
        for name, sign in signs.items()
        if getattr(item, name, None) is not None and item not in _BYTES
    ]
    return f" ({', '.join(found)})" if found else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


# Metadata that a field gets from the annotation `Bytes`.
_BYTES = [item for item in get_args(Bytes) if not isinstance(item, FieldInfo)]


def main() -> int:
    text = HEAD + "\n".join(rows(WorkerSettings)) + "\n"
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
        print("docs/settings.md is stale: run `make docs`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
