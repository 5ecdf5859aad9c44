"""A PaddleOCR process without server and queue. Its rate is the upper bound for a pool.

Reads one JSON order a line on stdin, {"files": [...]}, reads each file as it comes (decoding
included) and answers one JSON line, {"seconds": …, "texts": [[line, …], …]}.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from tools.bench.lib import direct


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=Path, required=True)
    models: Path = parser.parse_args().models
    # Paddle prints to stdout, which belongs to the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    ocr = direct.build(models)
    print("{}", file=answers)
    for line in sys.stdin:
        files = [Path(name).read_bytes() for name in json.loads(line)["files"]]
        start = time.perf_counter()
        texts = [direct.read(ocr, data)["rec_texts"] for data in files]
        print(json.dumps({"seconds": time.perf_counter() - start, "texts": texts}), file=answers)


if __name__ == "__main__":
    main()
