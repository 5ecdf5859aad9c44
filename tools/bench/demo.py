"""`make demo`: start a pool, read a page, kill an OCR process under load, and lose no request."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NoReturn

from tools.bench.lib.boxes import BoxedLine, draw_boxes
from tools.bench.lib.local_pool import LocalPool
from tools.bench.lib.samples import SamplePage, mixed_set, sample_page
from tools.bench.lib.servers import ROOT, StartError

MOST = min(4, max(2, len(os.sched_getaffinity(0))))
CLIENTS = 8
REQUESTS = 36
KILL_AFTER = 8  # answers: both instances are then in the middle of their work
RECOVERY_SECONDS = 90.0


class DemoFailedError(Exception):
    """The demo did not show what it should."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="folder of the staged models")
    parser.add_argument("--out", type=Path, default=ROOT / "demo-output", help="for the picture")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _terminated)  # so that `with` ends the worker, too
    start = time.monotonic()
    spec = {
        "instances": {"min": 1, "max": MOST},
        "memory": {"reserve": "512Mi"},
        "engine": {"name": "paddleocr", "options": {"cpu_threads": 1}},
        "admission": {"maxMegapixels": 4},
    }
    pool = LocalPool(spec, models=given.models.resolve(), pool="demo", interval=0.5, public=True)
    try:
        with pool:
            show(pool, given.out)
            say("Ending `ocrpool up` with SIGTERM …")
            code = pool.stop()
            if code != 0:
                raise DemoFailedError(f"it exited with {code}, not with 0")
    except (StartError, DemoFailedError, OSError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; the worker is gone.", file=sys.stderr)
        return 130
    say(f"It has exited with 0. The demo took {time.monotonic() - start:.0f} s.")
    return 0


def show(pool: LocalPool, out: Path) -> None:
    say(
        f"Starting `ocrpool up` on this machine's CPU: as many OCR processes as fit into memory,\n"
        f"at most {MOST}. (`ocrpool status` in another terminal shows it.)"
    )
    start = time.monotonic()
    pool.wait_settled(on_step=lambda decision: say(f"  {_since(start)}: {decision}"))
    instances = pool.state().instances.each
    pids = ", ".join(str(instance.pid) for instance in instances)
    say(f"  {_since(start)}: {pool.decision}")
    say(f"Warm: {len(instances)} OCR processes: {pids}.")
    read_sample(pool, out)
    kill_under_load(pool, len(instances))


def read_sample(pool: LocalPool, out: Path) -> None:
    page = sample_page()
    start = time.monotonic()
    lines = ask(pool.port, page)
    say(f"\nPOST /v1/ocr with the sample page: {len(lines)} lines in {_since(start)}.\n")
    for line in lines:
        print(f"    {line.score:.2f}  {line.text}")
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{page.name}.png").write_bytes(page.data)
    picture = out / f"{page.name}-read.png"
    draw_boxes(page.data, lines).save(picture)
    say(f"\nThe page with its boxes: {_shown(picture)}")


def kill_under_load(pool: LocalPool, instances: int) -> None:
    """Raises DemoFailedError where a request failed or got the text of another page."""
    pages = [sample_page(), *mixed_set()]
    work = [pages[number % len(pages)] for number in range(REQUESTS)]
    say(f"\nNow {CLIENTS} clients send {REQUESTS} pages …")
    start = time.monotonic()
    killed: tuple[int, float] | None = None
    wrong: list[str] = []
    port = pool.port
    threads = ThreadPoolExecutor(CLIENTS)
    try:
        futures = {threads.submit(ask, port, page): page for page in work}
        for count, future in enumerate(as_completed(futures), start=1):
            problem = check(future, futures[future])
            if problem:
                wrong.append(problem)
            if count == KILL_AFTER:
                killed = kill_one(pool), time.monotonic()
                say(f"… {count} are answered. SIGKILL to OCR process {killed[0]}, during a page.")
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
    say(f"… all {REQUESTS} are back after {_since(start)}.")
    if wrong:
        raise DemoFailedError(f"{len(wrong)} requests failed:\n  " + "\n  ".join(wrong))
    assert killed is not None
    counters = pool.state().counters
    say(
        f"No request failed: {REQUESTS} of {REQUESTS} were answered, each with its own text.\n"
        f"The worker counted {counters.deaths} processes that exited and "
        f"{counters.retried} pages that another process read again."
    )
    await_recovery(pool, instances, *killed)


def kill_one(pool: LocalPool) -> int:
    """SIGKILL an instance that reads a page, or any other one. Returns its process id."""
    instances = pool.state().instances.each
    victim = max(instances, key=lambda instance: (instance.state == "busy", instance.busy_seconds))
    os.kill(victim.pid, signal.SIGKILL)
    return victim.pid


def await_recovery(pool: LocalPool, wanted: int, killed_pid: int, killed_at: float) -> None:
    deadline = time.monotonic() + RECOVERY_SECONDS
    while time.monotonic() < deadline:
        instances = pool.state().instances
        pids = [instance.pid for instance in instances.each]
        if instances.ready == wanted and killed_pid not in pids:
            say(
                f"A new process replaced it; {wanted} are ready again "
                f"{_since(killed_at)} after the kill: {', '.join(map(str, pids))}."
            )
            return
        time.sleep(0.2)
    raise DemoFailedError(f"no replacement within {RECOVERY_SECONDS:.0f} s\n{pool.log_tail()}")


def check(future: Future[list[BoxedLine]], page: SamplePage) -> str | None:
    """What is wrong with an answer: a failed request, or the text of another page."""
    try:
        texts = [line.text for line in future.result()]
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{page.name}: {error}"
    found = [line for line in page.lines if line in texts]
    # OCR may misread some lines. The lines of a page appear on no other page.
    if len(found) * 2 < len(page.lines):
        return f"{page.name}: expected {page.lines[0]!r}, got {texts}"
    return None


def ask(port: int, page: SamplePage) -> list[BoxedLine]:
    """One request. Raises OSError or ValueError where the answer is not a page's text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", "/v1/ocr", page.data)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(f"HTTP {answer.status}: {body[:300].decode(errors='replace')}")
    (read,) = json.loads(body)["pages"]
    return [_line(line) for line in read["lines"]]


def _line(raw: dict[str, Any]) -> BoxedLine:
    return BoxedLine(raw["text"], raw["score"], tuple((x, y) for x, y in raw["polygon"]))


def say(text: str) -> None:
    print(text, flush=True)


def _since(moment: float) -> str:
    return f"{time.monotonic() - moment:.1f} s"


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _terminated(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
