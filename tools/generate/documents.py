"""Write docs/documents.md from the kinds of tests/worker/documents. With --check, fail where it is
stale. Whether the verdicts are so is tried by `make bench-documents`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from tests.worker.documents.everything import GROUPS, KINDS
from tests.worker.documents.kind import Kind

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "docs" / "documents.md"

HEAD = """# Documents that people have

Kinds of documents that users of OCR programs and of the libraries below them have reported in
their trackers as read wrongly. Each is made again from the report by code
(`tests/worker/documents`; no file of theirs is here) and read by `/v1/ocr` with real PaddleOCR, the
PP-OCRv5 mobile models and a worker's default settings. `make bench-documents` reads all of them
again and fails where one is other than this page says; some are read in every run of the tests
(`tests/worker/test_reported_kinds.py`). This page is made by `make docs`.

| here | what it means | kinds |
|---|---|---|
{verdicts}

A mistake in a letter, a space or a display's digits is the models', here as in PaddleOCR called
directly: other models or a picture prepared for them help there.
"""

MEANINGS = {
    "read": "every line as it is written, and no other",
    "read, with a warning": "the same, and `warnings` say what to mind",
    "with mistakes": "most of it; the row says what is wrong",
    "not read": "known limit; the row says why",
    "refused": "422 with a sentence that says what it is",
}


def row(kind: Kind) -> str:
    here: str = kind.verdict
    if kind.verdict == "refused":
        here += f": “… {kind.told} …”"
    elif kind.told:
        here += f": {kind.told}"
    cells = (kind.name, f"[{kind.reported}]({kind.url})", kind.how, here)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def doc_text() -> str:
    counted: Counter[str] = Counter(kind.verdict for kind in KINDS)
    verdicts = "\n".join(
        f"| {verdict} | {meaning} | {counted[verdict]} |" for verdict, meaning in MEANINGS.items()
    )
    parts = [HEAD.format(verdicts=verdicts)]
    for name, kinds in GROUPS.items():
        head = f"\n## {name}\n\n| kind | reported in | how it is made here | here |\n"
        parts.append(head + "|---|---|---|---|\n" + "".join(row(kind) + "\n" for kind in kinds))
    return "".join(parts)


def main() -> int:
    text = doc_text()
    stale = not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text
    if "--check" in sys.argv[1:]:
        if stale:
            print("docs/documents.md is stale: run `make docs`", file=sys.stderr)
        return int(stale)
    if stale:
        TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
