"""`make bench-documents`: kinds of documents that users of OCR programs have reported.

tests/worker/documents makes each kind again. It is sent to `/v1/ocr` of a worker with real
PaddleOCR, and the answer is compared with the row of docs/documents.md. Exits 1 where they differ.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.worker.documents.everything import KINDS
from tests.worker.documents.kind import as_expected, judged
from tools.bench.lib.worker import WorkerServer


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-documents", description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of the staged models")
    parser.add_argument("--only", metavar="WORD", default="", help="kinds with this in their name")
    parser.add_argument("--keep", type=Path, help="write the files to this folder")
    given = parser.parse_args()
    wrong = 0
    with WorkerServer(instances=1, models=given.models.resolve()) as worker:
        worker.wait_ready()
        for number, kind in enumerate(KINDS):
            if given.only not in kind.name:
                continue
            data = kind.make()
            if given.keep is not None:
                given.keep.mkdir(parents=True, exist_ok=True)
                (given.keep / f"{number:02}").write_bytes(data)
            verdict, reason = judged(kind, *_ask(worker.port, data))
            sign = "  " if as_expected(kind, verdict, reason) else "->"
            wrong += sign != "  "
            print(f"{sign} {number:02} {kind.name}: {verdict}: {reason[:150]}", flush=True)
    print(f"{wrong} of {len(KINDS)} kinds differ from docs/documents.md")
    return int(wrong > 0)


def _ask(port: int, data: bytes) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/ocr", data=data, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


if __name__ == "__main__":
    sys.exit(main())
