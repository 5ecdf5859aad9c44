"""The common formats with real PaddleOCR: CPU time of a page, compared with an earlier build.

OCR takes most of the time and is the same for all formats. So the whole CPU time of a page is
compared (all processes of a worker), and decoding is also measured alone, with an engine that
decodes pages and reads no text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from tools.bench.lib.cpu import cpu_seconds
from tools.bench.lib.format_pages import format_pages
from tools.bench.lib.load import generate
from tools.bench.lib.other_build import checkout_of
from tools.bench.lib.payload import plain_request
from tools.bench.lib.report import Goal, Report
from tools.bench.lib.rounds import Setup, say, take_turns
from tools.bench.lib.worker import WorkerServer

ROUNDS = 9
NOW, BEFORE = "this build", "the build before"
DECODE_ENGINE = "tools.bench.lib.decode_engine:DecodeEngine"
# Pages of one turn, small and A4. The kernel counts CPU time in steps of 10 ms.
READ, DECODED = (6, 1), (100, 20)
GOAL = 0.98
# So that the start of another instance does not count for a page.
SETTINGS = {"recycle": {"memoryGrowth": 0}}


def run(setup: Setup) -> Report:
    """Raises RuntimeError without `--before`."""
    if setup.before is None:
        raise RuntimeError("formats compares two builds: name the other one with --before COMMIT")
    pages = format_pages()
    if setup.quick:
        pages = {name: data for name, data in pages.items() if "A4" not in name}
    rounds = setup.rounds(ROUNDS)
    code = checkout_of(setup.before)
    engine = {"name": "paddleocr", "options": {"cpu_threads": 1}}
    say("with real PaddleOCR")
    read = _measured(pages, engine, setup.models, code, rounds=rounds, times=READ)
    say("without reading")
    decoded = _measured(pages, {"name": DECODE_ENGINE}, None, code, rounds=rounds, times=DECODED)
    # Below 1, this build costs more than the earlier one.
    ratios = {
        name: [b / a for a, b in zip(turns[NOW], turns[BEFORE], strict=True)]
        for name, turns in read.items()
    }
    rows = tuple(
        (
            name,
            f"{median(read[name][NOW]) * 1000:.0f}",
            f"{median(read[name][BEFORE]) * 1000:.0f}",
            _spread(ratios[name]),
            f"{median(decoded[name][NOW]) * 1000:.1f}",
            f"{median(decoded[name][BEFORE]) * 1000:.1f}",
        )
        for name in pages
    )
    whole = [
        sum(read[name][BEFORE][i] for name in pages) / sum(read[name][NOW][i] for name in pages)
        for i in range(rounds)
    ]
    return Report(
        part="formats",
        title="CPU a page of the common formats, beside the build before",
        method=(
            f"Before: {setup.before}. {rounds} rounds in turns, one instance and one CPU thread a",
            "build, one client, POST /v1/ocr; CPU seconds of all processes of a worker.",
            f"A turn reads a small page {READ[0]} times, an A4 page {READ[1]} time; for decoding",
            "alone, with an engine that takes the pixels and reads nothing, they are",
            f"{DECODED[0]} and {DECODED[1]}. Instances are not recycled meanwhile.",
            "Ratio: before divided by now, median over the rounds, quartiles; below 1 this build",
            "costs more.",
        ),
        columns=("page", "ms now", "ms before", "before/now", "decode ms now", "decode ms before"),
        rows=rows,
        goals=(
            Goal(f"all formats together ({_spread(whole)})", median(whole), GOAL),
            *(Goal(f"{name}", median(values), GOAL) for name, values in ratios.items()),
        ),
        rounds={"readSeconds": read, "decodeSeconds": decoded},
    )


def _measured(
    pages: Mapping[str, bytes],
    engine: dict[str, Any],
    models: Path | None,
    code: Path,
    *,
    rounds: int,
    times: tuple[int, int],
) -> dict[str, dict[str, list[float]]]:
    """CPU seconds of a page: page → build → one value for each round."""
    with ExitStack() as stack:
        workers = [
            WorkerServer(
                instances=1, models=models, engine=engine, settings=SETTINGS, name=name, code=place
            )
            for name, place in ((NOW, None), (BEFORE, code))
        ]
        for worker in workers:
            stack.enter_context(worker)
            worker.wait_ready()
        for data in pages.values():
            for worker in workers:
                _seconds(worker, data, 1)  # the first page of a size allocates memory
        found: dict[str, dict[str, list[float]]] = {}
        for name, data in pages.items():
            say(name)
            turns: dict[str, Callable[[], float]] = {
                worker.name: partial(_seconds, worker, data, times["A4" in name])
                for worker in workers
            }
            found[name] = take_turns(turns, rounds)
        return found


def _seconds(worker: WorkerServer, data: bytes, times: int) -> float:
    assert worker.process is not None
    before = cpu_seconds([worker.process.pid])
    generate(worker.port, [plain_request(data)] * times, clients=1)
    return (cpu_seconds([worker.process.pid]) - before) / times


def _spread(values: list[float]) -> str:
    low, middle, high = quantiles(values) if len(values) > 1 else (values[0],) * 3
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"
