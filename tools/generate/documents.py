"""Write docs/documents.md from the kinds of documents in tests/worker/documents.

`make bench-documents` checks the verdicts themselves.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from tests.worker.documents.everything import GROUPS, KINDS
from tests.worker.documents.kind import Kind

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "docs" / "documents.md"

HEAD = """# Kinds of documents that were tried

These kinds of documents were reported in the trackers of OCR programs, and of the libraries that
they use, as read wrongly. Code in `tests/worker/documents` builds each of them from its report; no
file of a reporter is in this repository. Each was read over `/v1/ocr` by real PaddleOCR with the
PP-OCRv5 mobile models and a worker's default settings. `make bench-documents` reads all of them
again, and fails if a result differs from this page. Every run of the tests reads some of them
(`tests/worker/test_reported_kinds.py`). `make docs` generates this page.

| result | meaning | kinds |
|---|---|---|
{verdicts}

Mistakes in letters, spaces or the digits of a display come from the models; PaddleOCR called
directly makes the same ones. Other models, or a picture that is prepared for them, help.
"""

MEANINGS = {
    "read": "every line exactly as it is written, and no other line",
    "read, with a warning": "the same, and `warnings` say what to check",
    "with mistakes": "most of it; the row says what is wrong",
    "not read": "a known limit; the row says why",
    "refused": "422 with a message that says why",
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
        head = f"\n## {name}\n\n| kind | reported in | how it is built | result |\n"
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
