"""`make bench-hostile` in its short form: every attack and every kind of fault, no bound broken.

The output names each bound that breaks. The last test checks that the benchmark can fail.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_engine import order_png
from tools.bench.labs.hostile.engine import KINDS, text_of
from tools.bench.labs.hostile.faults import OUTSIDE
from tools.bench.labs.hostile.measure import check_bounds
from tools.bench.labs.hostile.pages import CheckedRequest, checked_requests, pixels_of
from tools.bench.labs.hostile.result import AttackResult, RequestCounts
from tools.bench.labs.hostile.target import MIB

ROOT = Path(__file__).resolve().parents[2]
ANSWER = b'{"pages":[{"width":9,"height":9,"lines":[{"text":"%s","score":1.0,"polygon":[]}]}]}'


@pytest.mark.timeout(900)  # it takes a minute; much more on a busy machine
def test_the_short_form_breaks_no_bound() -> None:
    command = [sys.executable, "-m", "tools.bench.labs.hostile", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, f"{done.stderr[-8000:]}\n{done.stdout[-4000:]}"


def test_there_are_at_least_twelve_kinds_of_faults() -> None:
    assert len({*KINDS, *OUTSIDE}) >= 12


def test_text_follows_from_pixels_and_parameters() -> None:
    one, other = pixels_of(order_png(say="one")), pixels_of(order_png(say="other"))
    assert text_of(one, {}) == text_of(one.copy(), {})
    assert len({text_of(one, {}), text_of(other, {}), text_of(one, {"a": 1})}) == 3


def test_the_same_seed_gives_the_same_pages() -> None:
    first, again = checked_requests(1), checked_requests(1)
    ours = [next(first) for _ in range(20)]
    assert ours == [next(again) for _ in range(20)]
    assert len({one.texts for one in ours}) == 20


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (200, ANSWER % b"right", "right"),
        (200, ANSWER % b"another's", "wrong"),
        (200, b"{}", "wrong"),
        (422, b"{}", "refused"),
        (500, b"{}", "refused"),
        (503, b"{}", "again"),
    ],
)
def test_each_answer_is_counted_as_what_it_is(status: int, body: bytes, what: str) -> None:
    counts = RequestCounts()
    again = counts.check_answer(CheckedRequest(0, b"", ("right",)), status, body, patient=True)
    found = [name for name in ("right", "wrong", "refused", "again") if getattr(counts, name)]
    assert (found, again) == ([what], what == "again")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"cpu": 0.2, "cpu_of": "parse"}, "parse"),
        ({"peak": 250 * MIB}, "MiB"),
        ({"counts": RequestCounts(lost=1)}, "lost"),
        ({"counts": RequestCounts(doubled=1)}, "doubled"),
        ({"counts": RequestCounts(wrong=1)}, "wrong"),
        ({"counts": RequestCounts(refused=1)}, "refused"),
    ],
)
def test_a_broken_bound_is_reported(broken: dict[str, object], said: str) -> None:
    out = AttackResult("one", resting=50 * MIB, budget=150 * MIB, peak=169 * MIB, cpu=0.09)
    check_bounds(out)
    assert out.problems == []
    for name, value in broken.items():
        setattr(out, name, value)
    check_bounds(out)
    assert len(out.problems) == 1
    assert said in out.problems[0]
