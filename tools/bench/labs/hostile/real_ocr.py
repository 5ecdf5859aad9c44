"""Faults from outside while real PaddleOCR reads: every text must equal the text without them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.worker.client import Answer
from tools.bench.labs.hostile.faults import kinds
from tools.bench.labs.hostile.measure import measured
from tools.bench.labs.hostile.pages import CheckedRequest
from tools.bench.labs.hostile.result import AttackResult
from tools.bench.labs.hostile.stress import run_under_faults
from tools.bench.labs.hostile.target import Target
from tools.bench.lib.payload import json_request, plain_request
from tools.bench.lib.samples import SamplePage, mixed_set

FAULTS, PAGES, CLIENTS, INSTANCES = 60, 300, 4, 2
# Small pages: the run tests faults, not speed.
NAMES = ("label", "card", "sign", "receipt")
BOOT_SECONDS = 300.0


def faults(models: Path, *, quick: bool) -> AttackResult:
    """Inject 60 faults of all kinds that come from outside, during 300 requests."""
    count, pages = (6, 30) if quick else (FAULTS, PAGES)
    out = AttackResult("faults with real PaddleOCR", held=f"{CLIENTS} clients")
    settings = {
        "engine": {"name": "paddleocr", "options": {"cpu_threads": 1}},
        "instances": {"min": 1, "max": INSTANCES, "bootSeconds": BOOT_SECONDS},
        "admission": {"maxMegapixels": 1, "timeoutSeconds": 120},
    }
    arguments = ("--models", str(models))
    with measured(
        out,
        instances=INSTANCES,
        settings=settings,
        arguments=arguments,
        cooldown=2,
        patience=BOOT_SECONDS,
    ) as aim:
        run_under_faults(
            out,
            aim,
            itertools.islice(_endless(_baseline(aim)), pages),
            kinds(cgroup=False, inside=False),
            clients=CLIENTS,
            count=count,
            pages=pages,
            seed=60,
            most_missed=2,
        )
    return out


def _baseline(aim: Target) -> list[tuple[SamplePage, tuple[str, ...]]]:
    """The text of each page before the first fault."""
    samples = [sample for sample in mixed_set() if sample.name in NAMES]
    return [(sample, _text(aim.worker.post(sample.data, timeout=120))) for sample in samples]


def _text(answer: Answer) -> tuple[str, ...]:
    return tuple("\n".join(line["text"] for line in page["lines"]) for page in answer.json["pages"])


def _endless(pages: Sequence[tuple[SamplePage, tuple[str, ...]]]) -> Iterator[CheckedRequest]:
    for number, (sample, text) in enumerate(itertools.cycle(pages)):
        form = json_request if number % 2 else plain_request
        yield CheckedRequest(number, form(sample.data), text, all_lines=True)
