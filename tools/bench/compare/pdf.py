"""One document of many pages: two instances against one."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from statistics import median

from tools.bench.lib.load import generate
from tools.bench.lib.payload import pages_of, plain_request
from tools.bench.lib.report import Goal, Report
from tools.bench.lib.rounds import Setup, ratio, take_turns
from tools.bench.lib.samples import document_page, document_pdf
from tools.bench.lib.worker import WorkerServer

PAGES = 16


def run(setup: Setup) -> Report:
    request = plain_request(document_pdf(PAGES))
    with ExitStack() as stack:
        one = stack.enter_context(
            WorkerServer(instances=1, models=setup.models, name="one instance")
        )
        one.wait_ready()
        two = stack.enter_context(
            WorkerServer(instances=2, models=setup.models, name="two instances")
        )
        two.wait_ready()

        def seconds(worker: WorkerServer) -> float:
            bodies: dict[int, bytes] = {}
            load = generate(worker.port, [request], clients=1, bodies=bodies)
            check_order(bodies[0])
            return load.latencies[0]

        for worker in (one, two):
            seconds(worker)  # the warm-up
        contestants = {worker.name: partial(seconds, worker) for worker in (one, two)}
        times = take_turns(contestants, setup.rounds(5))
    speed_up = ratio(times[one.name], times[two.name])
    rows = tuple(
        (name, f"{median(values):.2f} s", f"{PAGES / median(values):.2f}", f"{factor:.2f}×")
        for (name, values), factor in zip(times.items(), (1.0, speed_up), strict=True)
    )
    return Report(
        part="pdf",
        title=f"a PDF of {PAGES} pages",
        method=(
            f"{setup.rounds(5)} rounds in turns; one client, POST /v1/ocr with the PDF as body;",
            "two workers up at the same time, one CPU thread an instance; the order of the pages",
            "in every answer is checked. Ratio: median of the rounds' ratios.",
        ),
        columns=("", "median", "pages/s", "faster"),
        rows=rows,
        goals=(Goal("two instances, times one instance", speed_up, 1.8),),
        rounds={"seconds": times},
    )


def check_order(answer: bytes) -> None:
    """Raises RuntimeError unless page n of the answer has the text of page n."""
    pages = pages_of(answer)
    if len(pages) != PAGES:
        raise RuntimeError(f"{len(pages)} pages came back of {PAGES}")
    for number, texts in enumerate(pages, start=1):
        title = document_page(number)[1][0]
        if title not in texts:
            raise RuntimeError(f"page {number} should say {title!r}, but says {texts}")
