"""A status that fits into its object: etcd takes 1.5 MiB, and a pool may have 1,000 workers.

What workers share is told once, those in trouble come first, and what does not fit is left out from
the end, with a sentence that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ocrpool.resource.status import Condition, PoolStatus, WorkerReport

# Bytes of a status as JSON: the rest of etcd's limit is the spec's and the metadata's.
STATUS_BYTES = 2**20
# Messages of kubelet, the scheduler and the API server: nothing that matters is longer.
MESSAGE_CHARACTERS = 300


def shorten(text: str, most: int = MESSAGE_CHARACTERS) -> str:
    """Somebody else's words on one line, and no longer than that."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def deduplicate_problems(reports: Iterable[WorkerReport]) -> tuple[WorkerReport, ...]:
    """Those in trouble first, else in their order. Of several with the same problem the first says
    it, and the others whose it is."""
    ordered = sorted(reports, key=lambda each: not (each.problem or each.failures))
    first: dict[str, str] = {}
    found = []
    for each in ordered:
        name = first.setdefault(each.problem, each.name) if each.problem else each.name
        if name != each.name:
            reason, _, _ = each.problem.partition(": ")
            each = each.model_copy(update={"problem": f"{reason}: as {name}"})
        found.append(each)
    return tuple(found)


def expand_problems(reports: Iterable[WorkerReport]) -> dict[str, str]:
    """By name: the problem of every worker, in full."""
    said = {each.name: each.problem for each in reports}
    return {
        name: said.get(problem.rpartition(": as ")[2], problem) if ": as " in problem else problem
        for name, problem in said.items()
    }


def fit_status(status: PoolStatus, most: int = STATUS_BYTES) -> PoolStatus:
    """The same in at most so many bytes. First the figures of workers that are well go, then those
    of all, then workers from the end of the list; counts and conditions stay as they are."""
    if _size(status) <= most:
        return status
    told = "figures of workers are left out, or the object would be too large"
    well = tuple(each if each.problem else _bare(each) for each in status.workers)
    rows = tuple(_bare(each) for each in status.workers)
    for given in (well, rows):
        found = _with(status, given, told)
        if _size(found) <= most:
            return found
    fit = _how_many(status, rows, most)
    told = f"{len(rows) - fit} workers are not listed, or the object would be too large"
    return _with(status, rows[:fit], told)


def _how_many(status: PoolStatus, rows: Sequence[WorkerReport], most: int) -> int:
    told = f"{len(rows)} workers are not listed, or the object would be too large"
    left = most - _size(_with(status, (), told))
    fit = 0
    for row in rows:
        left -= len(_json(row)) + 1
        if left < 0:
            break
        fit += 1
    return fit


def _bare(row: WorkerReport) -> WorkerReport:
    return WorkerReport(
        name=row.name,
        phase=row.phase,
        problem=row.problem,
        instances=row.instances,
        failures=row.failures,
        failed_at=row.failed_at,
    )


def _with(status: PoolStatus, rows: tuple[WorkerReport, ...], told: str) -> PoolStatus:
    def say(each: Condition) -> Condition:
        if each.type != "Ready":
            return each
        return each.model_copy(update={"message": f"{each.message}; {told}"})

    conditions = tuple(say(each) for each in status.conditions)
    return status.model_copy(update={"workers": rows, "conditions": conditions})


def _size(status: PoolStatus) -> int:
    return len(_json(status))


def _json(part: PoolStatus | WorkerReport) -> bytes:
    return part.model_dump_json(by_alias=True).encode()
