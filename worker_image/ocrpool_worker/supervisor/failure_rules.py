"""The failure rules, as functions without side effects: what happened in, what follows out.

Source: the table of failure rules in docs/architecture.md. Everything that the pool does after a
failure is decided here, so the table can be read and tested in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ocrpool.protocol import backoff_seconds
from ocrpool_worker.errors import EngineFailure, PoisonPage, RequestError, Unavailable

# How an attempt at a page ended badly. Out of memory is `memory` where the engine says so, and
# `starved` where the kernel has ended the instance. `killed`: somebody else has.
PageFailure = Literal["death", "memory", "starved", "device", "engine", "killed"]
# What becomes of the instance: it has died, keep it, let it end in order, or kill it now.
InstanceAction = Literal["gone", "keep", "retire", "kill"]

# A page may cost this many instances before it is blamed, and lose as many to others' kills before
# it is sent away.
ATTEMPTS = 2
# Seconds after which a page that was sent away should come again.
KILLED_RETRY = 5.0
# What two failures say of a page; these are its own, and remembered.
_BLAMES = {
    "death": "ended two OCR processes",
    "memory": "ran out of memory in two OCR processes",
    "starved": "ran out of memory in two OCR processes",
}
# The device's and the engine's may be somebody else's.
_SPARES = {"device": "ended in a device error in two OCR processes"}
# An instance that fails on so many pages in a row has a broken predictor.
ENGINE_FAILURES_IN_A_ROW = 3
BOOT_ATTEMPTS = 3
BACKOFF_FIRST, BACKOFF_MOST = 0.5, 30.0
# So many device errors within so many seconds: the device, not the page, is at fault.
DEVICE_ERRORS, DEVICE_WINDOW = 3, 60.0
# How long a lowered ceiling holds before the worker allows itself one more instance.
CEILING_COOLDOWN = 300.0


@dataclass(frozen=True, slots=True)
class FailureVerdict:
    """`error` is None where the page is put back; else it is the request's answer.
    `lower_ceiling`: the worker has room for one fewer than it thought."""

    fate: InstanceAction
    error: RequestError | None
    remember: bool = False
    lower_ceiling: bool = False


def after_failure(
    failure: PageFailure,
    *,
    before: Sequence[PageFailure] = (),
    in_a_row: int,
    detail: str,
    ran_out_before: bool = False,
) -> FailureVerdict:
    """What follows when an instance fails on a page.

    `before`: how earlier tries at this page have failed; `in_a_row`: pages that this instance has
    failed on one after the other, this one included; `detail`: one line, for the client;
    `ran_out_before`: memory ran out on this page before, and one page lowers the ceiling once.
    """
    if failure == "killed":
        return FailureVerdict(
            "gone", _sent_away(detail) if before.count("killed") >= ATTEMPTS - 1 else None
        )
    tries = [*(one for one in before if one != "killed"), failure]
    last = len(tries) >= ATTEMPTS
    lowers = failure in ("memory", "starved") and not ran_out_before
    if failure == "engine":
        worn_out = in_a_row >= ENGINE_FAILURES_IN_A_ROW
        error = EngineFailure(f"the engine failed on this page on two tries: {detail}")
        return FailureVerdict("retire" if worn_out else "keep", error if last else None)
    fates: dict[PageFailure, InstanceAction] = {"memory": "retire", "device": "kill"}
    fate = fates.get(failure, "gone")
    if not last:
        return FailureVerdict(fate, None, lower_ceiling=lowers)
    remember = all(one in _BLAMES for one in tries)
    words = {(_BLAMES | _SPARES).get(one, "") for one in tries}
    what = words.pop() if len(words) == 1 else "failed in two OCR processes"
    refused = "; it is refused for a while" if remember else ""
    poison = PoisonPage(
        f"this request {what} ({detail}){refused}. Check the file, or send it smaller"
    )
    return FailureVerdict(fate, poison, remember=remember, lower_ceiling=lowers)


def _sent_away(detail: str) -> RequestError:
    return Unavailable(
        f"two OCR processes that were on this request were ended by somebody else ({detail}); it "
        "is not to blame, send it again",
        retry_after=KILLED_RETRY,
    )


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


def too_slow(*, page_seconds: float, limit: float, megapixels: float) -> str | None:
    """Why pages of the largest admitted size will not be answered, or None. `page_seconds`: how
    long one went without progress at the warm-up, `limit` and `megapixels`: the settings."""
    if page_seconds <= limit:
        return None
    return (
        f"a page of the largest admitted size did not come on for {page_seconds:.3g} s at the "
        f"warm-up, and admission.timeoutSeconds is {limit:g}: a client's page of that size gets "
        f"504 and costs its instance. Raise admission.timeoutSeconds, lower "
        f"admission.maxMegapixels (now {megapixels:g}), or give an instance more threads "
        "(fewer instances, engine.options.cpu_threads)"
    )


def retry_after(*, waiting: int, page_seconds: float, ready: int) -> float:
    """Whole seconds after which a refused client should come again: when half of what waits now
    will have been read. `page_seconds` is the mean time of a page, 0 when unknown."""
    backlog = waiting * (page_seconds or 1.0) / max(1, ready)
    return float(max(1, min(60, round(backlog / 2))))
