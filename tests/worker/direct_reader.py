"""PaddleOCR called directly, in a separate process, as the reference for comparisons.

`python -m tests.worker.direct_reader MODELS` reads one path a line from stdin. For each image or
PDF it writes one JSON line to stdout: its pages, each a list of `[text, polygon]`.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tools.bench.lib import direct

Lines = list[list[Any]]


def main() -> None:
    # Paddle prints to stdout, which is needed for the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    ocr = direct.build(Path(sys.argv[1]))
    from paddlex.inference.serving.infra import utils  # noqa: PLC0415 - after its environment

    print("up", file=answers)
    for line in sys.stdin:
        data = Path(line.rstrip("\n")).read_bytes()
        kind = "PDF" if data.startswith(b"%PDF") else "IMAGE"
        pages, _ = utils.file_to_images(data, kind)
        read = []
        for page in pages:
            (found,) = ocr.predict(page)
            polygons = [polygon.tolist() for polygon in found["rec_polys"]]
            read.append([list(pair) for pair in zip(found["rec_texts"], polygons, strict=True)])
        print(json.dumps(read), file=answers)


@contextlib.contextmanager
def direct_reader(models: Path) -> Iterator[Callable[[Path], list[Lines]]]:
    """A function that reads a file in that process, page by page."""
    command = [sys.executable, "-m", "tests.worker.direct_reader", str(models)]
    process = subprocess.Popen(
        command,
        cwd=Path(__file__).resolve().parents[2],
        env=os.environ | direct.ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout
    try:
        assert stdout.readline() == "up\n", "PaddleOCR did not start"

        def read(path: Path) -> list[Lines]:
            stdin.write(f"{path}\n")
            stdin.flush()
            found: list[Lines] = json.loads(stdout.readline())
            return found

        yield read
    finally:
        process.kill()
        process.wait()
        stdin.close()
        stdout.close()


if __name__ == "__main__":
    main()
