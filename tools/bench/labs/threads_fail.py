"""`make bench-threads`: what happens to PaddleOCR in threads of one process.

Reads the same pages in several ways: with a PaddleOCR for each thread, with one for all threads,
and in processes. All texts are compared with those of one process with one thread. The threads run
in child processes, so a crash is a result. docs/why-processes.md explains the failures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ocrpool.protocol.exit_status import describe_exit
from tools.bench.lib import direct
from tools.bench.lib.samples import mixed_set
from tools.bench.lib.servers import ROOT

THREADS = 4
PROCESSES = 2
KINDS = {
    "own": "each thread makes a PaddleOCR of its own and uses only that",
    "apart": "a PaddleOCR for each thread, all made beforehand, one after the other",
    "shared": "one PaddleOCR for all threads",
}
TIMEOUT_SECONDS = 300.0
Texts = dict[str, list[str]]


@dataclass
class ChildResult:
    """The result of one child. `status`: its exit status, negative for a signal. `seconds`: from
    the start of the first page to the end of the last one, 0 where no page was read."""

    status: int = 0
    right: int = 0
    wrong: list[str] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def __str__(self) -> str:
        parts = [f"{self.right} pages right", f"{len(self.wrong)} wrong"]
        parts.append(f"{self.errors.total()} exceptions")
        if self.status == 0 and self.seconds:
            parts.append(f"{self.right / self.seconds:.2f} right pages/s")
        return f"{_exit_text(self.status)}; " + ", ".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-threads", description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of the staged models")
    parser.add_argument("--tries", type=int, default=5, help="children with threads, of each kind")
    parser.add_argument("--child", choices=tuple(KINDS), help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    given = parser.parse_args()
    models: Path = given.models.resolve()
    if given.child:
        read_all(models, given.child, given.threads)
        return 0
    pages = len(mixed_set())
    print(f"Reading {pages} pages with one thread in one process, to know the right text …")
    expected: Texts = {}
    for record in _records(_start(models, "own", 1)):
        expected[record["page"]] = record["texts"]
    for kind, title in KINDS.items():
        print(f"\n{THREADS} threads in one process; {title}; each reads the {pages} pages:")
        for number in range(1, given.tries + 1):
            result = judge(_start(models, kind, THREADS), expected)
            print(f"  try {number}: {result}", flush=True)
            _details(result)
    print(f"\n{PROCESSES} processes with one thread each, at the same time:")
    children = [_start(models, "own", 1) for _ in range(PROCESSES)]
    results = [judge(child, expected) for child in children]
    for number, result in enumerate(results, start=1):
        print(f"  process {number}: {result}")
        _details(result)
    return int(any(result.right < pages for result in results))


def read_all(models: Path, kind: str, threads: int) -> None:
    """The child process: every thread reads every page, each starting at another page."""
    # Write each record at once, because the process may crash. Paddle prints to stdout too, so the
    # records use a copy of it.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    lock = threading.Lock()

    def record_result(**record: Any) -> None:
        with lock:
            print(json.dumps(record), file=out)

    makers: list[Callable[[], Any]]
    if kind == "own":
        makers = [partial(direct.build, models)] * threads
    else:
        made = [direct.build(models) for _ in range(1 if kind == "shared" else threads)]
        makers = [partial(made.__getitem__, number % len(made)) for number in range(threads)]
    runners = [
        threading.Thread(target=_read_pages, args=(make, number, record_result))
        for number, make in enumerate(makers)
    ]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()


def _read_pages(make: Callable[[], Any], number: int, record_result: Callable[..., None]) -> None:
    pages = mixed_set()
    shift = number * len(pages) // THREADS
    try:
        reader = make()
    except Exception as error:  # every error is a result here
        record_result(error=_error_line(error))
        return
    for page in pages[shift:] + pages[:shift]:
        begun = time.monotonic()
        try:
            texts = direct.read(reader, page.data)["rec_texts"]
        except Exception as error:
            record_result(error=_error_line(error))
        else:
            record_result(page=page.name, texts=texts, begun=begun, ended=time.monotonic())


def _error_line(error: Exception) -> str:
    """The line of Paddle's long message that says what happened; it is one of the last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    candidates = [line for line in lines if "Error:" in line or "InvalidArgument" in line]
    return f"{type(error).__name__}: {(candidates or lines or [''])[-1][:110]}"


def _start(models: Path, kind: str, threads: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tools.bench.labs.threads_fail", "--models", str(models)]
    command += ["--child", kind, "--threads", str(threads)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | direct.ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _records(child: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """The records of a child that has ended. A child that hangs is killed."""
    try:
        written, _ = child.communicate(timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        written, _ = child.communicate()
    finally:
        if child.poll() is None:
            child.kill()
    records = []
    for line in written.splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue  # cut off by the crash
    return records


def judge(child: subprocess.Popen[str], expected: Texts) -> ChildResult:
    result = ChildResult()
    records = _records(child)
    result.status = child.returncode
    read = [record for record in records if "texts" in record]
    for record in read:
        page: str = record["page"]
        texts: list[str] = record["texts"]
        if texts == expected[page]:
            result.right += 1
        else:
            result.wrong.append(_difference(page, texts, expected))
    result.errors = Counter(record["error"] for record in records if "error" in record)
    if read:
        result.seconds = max(r["ended"] for r in read) - min(r["begun"] for r in read)
    return result


def _difference(page: str, texts: list[str], expected: Texts) -> str:
    for other, right in expected.items():
        if texts == right:
            return f"{page}: got the text of {other}"
    for got, expected_line in zip(texts, expected[page], strict=False):
        if got != expected_line:
            return f"{page}: {expected_line!r} was read as {got!r}"
    return f"{page}: {len(texts)} lines instead of {len(expected[page])}"


def _details(result: ChildResult) -> None:
    for text in result.wrong[:3]:
        print(f"         wrong without an error: {text}")
    for error, count in result.errors.most_common(3):
        print(f"         {count} × {error}")


def _exit_text(status: int) -> str:
    return "ran to its end" if status == 0 else describe_exit(status)


if __name__ == "__main__":
    sys.exit(main())
