"""The failure rules: pure functions from what happened to what follows.

Source: the table of failure rules in docs/failure-rules.md. Time-outs are in `dispatcher`, faults
of a start in `startup_control`, shortage of memory in `memory_pressure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ocrpool_worker.errors import EngineFailure, PoisonPage, RequestError, Unavailable

# How a try at a page failed. `exit`: the instance exited by its own fault, or by the page's.
# Out of memory is `memory` where the engine reports it, `starved` where the kernel has killed the
# instance for it. `killed`: another process killed the instance.
PageFailure = Literal["exit", "memory", "starved", "device", "engine", "killed"]
# What to do with the instance. `gone`: nothing, it has exited.
InstanceAction = Literal["gone", "keep", "retire", "kill"]

# After so many failed tries a page is answered with an error; the same for tries that ended because
# another process killed the instance.
ATTEMPTS = 2
# Seconds after which a client should send a page again whose instances were killed.
KILLED_RETRY = 5.0
# Failures that are the page's own fault. A request with only such failures is remembered.
_OWN_FAULTS = {
    "exit": "ended two OCR processes",
    "memory": "ran out of memory in two OCR processes",
    "starved": "ran out of memory in two OCR processes",
}
# Failures that another page, or the device, may have caused.
_SHARED_FAULTS = {"device": "ended in a device error in two OCR processes"}
# An instance whose engine fails on so many pages in a row is broken.
ENGINE_FAILURES_IN_A_ROW = 3
# So many device errors within so many seconds: the device is at fault, not the pages.
DEVICE_ERRORS, DEVICE_WINDOW = 3, 60.0
# Seconds before the worker raises a lowered ceiling by one.
CEILING_COOLDOWN = 300.0


@dataclass(frozen=True, slots=True)
class FailureVerdict:
    """`error`: the answer to the request; None where the page is put back. `remember`: refuse the
    same request for a while. `lower_ceiling`: there is memory for one instance fewer."""

    action: InstanceAction
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

    `before`: how earlier tries at this page failed; `in_a_row`: on how many pages in a row this
    instance has failed, with this one; `detail`: one line for the client; `ran_out_before`: memory
    ran out on this page before. One page lowers the ceiling only once.
    """
    if failure == "killed":
        last = before.count("killed") >= ATTEMPTS - 1
        return FailureVerdict("gone", _killed_twice(detail) if last else None)
    faults = [*(one for one in before if one != "killed"), failure]
    last = len(faults) >= ATTEMPTS
    lowers = failure in ("memory", "starved") and not ran_out_before
    if failure == "engine":
        broken = in_a_row >= ENGINE_FAILURES_IN_A_ROW
        error = EngineFailure(f"the engine failed on this page on two tries: {detail}")
        return FailureVerdict("retire" if broken else "keep", error if last else None)
    actions: dict[PageFailure, InstanceAction] = {"memory": "retire", "device": "kill"}
    action = actions.get(failure, "gone")
    if not last:
        return FailureVerdict(action, None, lower_ceiling=lowers)
    remember = all(one in _OWN_FAULTS for one in faults)
    texts = {(_OWN_FAULTS | _SHARED_FAULTS).get(one, "") for one in faults}
    what = texts.pop() if len(texts) == 1 else "failed in two OCR processes"
    refused = "; it is refused for a while" if remember else ""
    poison = PoisonPage(
        f"this request {what} ({detail}){refused}. Check the file, or send it smaller"
    )
    return FailureVerdict(action, poison, remember=remember, lower_ceiling=lowers)


def _killed_twice(detail: str) -> RequestError:
    return Unavailable(
        f"another process killed two OCR processes that were reading this request ({detail}); the "
        "request is not the cause, send it again",
        retry_after=KILLED_RETRY,
    )


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
    """Why pages of the largest admitted size will not be answered in time, or None.
    `page_seconds`: the longest time without progress on such a page during the warm-up; `limit`,
    `megapixels`: the settings."""
    if page_seconds <= limit:
        return None
    return (
        f"a page of the largest admitted size made no progress for {page_seconds:.3g} s during the "
        f"warm-up, and admission.timeoutSeconds is {limit:g}: a client's page of that size gets "
        f"504 and costs its instance. Raise admission.timeoutSeconds, lower "
        f"admission.maxMegapixels (now {megapixels:g}), or give an instance more threads "
        "(fewer instances, engine.options.cpu_threads)"
    )


def retry_after(*, waiting: int, page_seconds: float, ready: int) -> float:
    """Whole seconds after which a refused client should come again: when half of what waits now
    will have been read. `page_seconds`: the mean time of a page, 0 where unknown."""
    backlog = waiting * (page_seconds or 1.0) / max(1, ready)
    return float(max(1, min(60, round(backlog / 2))))
