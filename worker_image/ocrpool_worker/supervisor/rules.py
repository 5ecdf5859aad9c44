"""The failure rules, as functions without side effects: what happened in, what follows out.

Source: the table of failure rules in docs/architecture.md. Everything that the pool does after a
failure is decided here, so the table can be read and tested in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ocrpool_wire import backoff_seconds
from ocrpool_worker.errors import EngineFailure, PoisonPage, RequestError

# How an attempt at a page ended badly. Out of memory is `memory` where the engine says so, and
# `starved` where the kernel has ended the instance.
Failure = Literal["death", "memory", "starved", "device", "engine"]
# What becomes of the instance: it has died, keep it, let it end in order, or kill it now.
Fate = Literal["gone", "keep", "retire", "kill"]

# A page may cost this many instances before it is blamed.
ATTEMPTS = 2
# An instance that fails on so many pages in a row has a broken predictor.
ENGINE_FAILURES_IN_A_ROW = 3
BOOT_ATTEMPTS = 3
BACKOFF_FIRST, BACKOFF_MOST = 0.5, 30.0
# So many device errors within so many seconds: the device, not the page, is at fault.
DEVICE_ERRORS, DEVICE_WINDOW = 3, 60.0
# How long a lowered ceiling holds before the worker allows itself one more instance.
CEILING_COOLDOWN = 300.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`error` is None where the page is put back; else it is the request's answer.
    `lower_ceiling`: the worker has room for one fewer than it thought."""

    fate: Fate
    error: RequestError | None
    remember: bool = False
    lower_ceiling: bool = False


def after_failure(
    failure: Failure,
    *,
    failed_before: int,
    in_a_row: int,
    detail: str,
    ran_out_before: bool = False,
) -> Verdict:
    """What follows when an instance fails on a page.

    `failed_before`: instances that failed on this page before; `in_a_row`: pages that this instance
    has failed on one after the other, this one included; `detail`: one line, for the client;
    `ran_out_before`: memory ran out on this page before, and one page lowers the ceiling once.
    """
    lowers = failure in ("memory", "starved") and not ran_out_before
    last = failed_before + 1 >= ATTEMPTS
    if failure == "engine":
        worn_out = in_a_row >= ENGINE_FAILURES_IN_A_ROW
        error = EngineFailure(f"the engine failed on this page on two tries: {detail}")
        return Verdict("retire" if worn_out else "keep", error if last else None)
    fates: dict[Failure, Fate] = {"memory": "retire", "device": "kill"}
    fate = fates.get(failure, "gone")
    if not last:
        return Verdict(fate, None, lower_ceiling=lowers)
    what = {
        "death": "ended two OCR processes",
        "memory": "ran out of memory in two OCR processes",
        "starved": "ran out of memory in two OCR processes",
        "device": "ended in a device error in two OCR processes",
    }[failure]
    poison = PoisonPage(
        f"this request {what} ({detail}); it is refused for a while. Check the file, or send it "
        "smaller"
    )
    # A failing device is not the page's fault: the page is answered, but not remembered.
    return Verdict(fate, poison, remember=failure != "device", lower_ceiling=lowers)


def backoff(failures: int) -> float:
    """Seconds to wait before the next boot after `failures` fruitless instances in a row."""
    return backoff_seconds(failures, first=BACKOFF_FIRST, most=BACKOFF_MOST)


def should_recycle(
    *,
    answered: int,
    memory: int,
    memory_when_warm: int,
    after_requests: int,
    growth: float,
    cap: int | None,
) -> str | None:
    """Why a working instance should be replaced, or None. Memory in bytes."""
    if after_requests and answered >= after_requests:
        return f"it answered {answered} pages (recycle.afterRequests {after_requests})"
    if cap is not None and memory > cap:
        return f"it holds {memory} bytes, over its cap of {cap} (memory.perInstance)"
    if growth and memory_when_warm and memory > growth * memory_when_warm:
        return (
            f"it holds {memory} bytes, {memory / memory_when_warm:.2f} times the "
            f"{memory_when_warm} when warm (recycle.memoryGrowth {growth:g})"
        )
    return None


def retry_after(*, waiting: int, page_seconds: float, ready: int) -> float:
    """Whole seconds after which a refused client should come again: when half of what waits now
    will have been read. `page_seconds` is the mean time of a page, 0 when unknown."""
    backlog = waiting * (page_seconds or 1.0) / max(1, ready)
    return float(max(1, min(60, round(backlog / 2))))
