"""The worker under many clients returns the text that PaddleOCR called directly returns."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.bench.lib.bare import BareOcr
from tools.bench.lib.load import generate
from tools.bench.lib.payload import json_request, pages_of, plain_request
from tools.bench.lib.report import Goal, Report
from tools.bench.lib.rounds import Setup, say
from tools.bench.lib.samples import mixed_set, sample_page
from tools.bench.lib.worker import WorkerServer

CLIENTS = 16
SEED = 20260417


def run(setup: Setup) -> Report:
    pages = [sample_page(), *mixed_set()]
    times = 2 if setup.quick else 8
    order = [number for number in range(len(pages)) for _ in range(times)]
    random.Random(SEED).shuffle(order)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="ocrpool-bench-")))
        bare = stack.enter_context(BareOcr(setup.models))
        files = [folder / page.name for page in pages]
        for file, page in zip(files, pages, strict=True):
            file.write_bytes(page.data)
        say("reading every page directly")
        bare.finish()
        bare.begin(files)
        expected: list[list[str]] = bare.finish()["texts"]
        bare.stop()
        worker = stack.enter_context(WorkerServer(instances=2, models=setup.models)).wait_ready()
        say(f"reading {len(order)} pages through the worker")
        # The two endpoints take turns.
        requests = [
            (plain_request if turn % 2 else json_request)(pages[number].data)
            for turn, number in enumerate(order)
        ]
        bodies: dict[int, bytes] = {}
        generate(worker.port, requests, clients=CLIENTS, bodies=bodies)
        differing = [0] * len(pages)
        for turn, number in enumerate(order):
            differing[number] += pages_of(bodies[turn]) != [expected[number]]
    rows = tuple(
        (page.name, str(len(texts)), str(times), str(wrong))
        for page, texts, wrong in zip(pages, expected, differing, strict=True)
    )
    return Report(
        part="equality",
        title="text of the worker against PaddleOCR called directly",
        method=(
            f"{CLIENTS} clients on two instances, {times} times each page in shuffled order,",
            "POST /v1/ocr and POST /ocr in turns; all lines, in order, must be the same strings.",
        ),
        columns=("page", "lines", "read", "other text"),
        rows=rows,
        goals=(Goal("pages with other text", sum(differing), 0, at_least=False),),
        rounds={"differing": dict(zip((p.name for p in pages), differing, strict=True))},
    )
