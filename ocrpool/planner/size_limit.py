"""Keep the status within its object: etcd limits it to 1.5 MiB, and a pool may have 1,000 workers.

A problem that workers share is written once, workers with problems come first, and what does not
fit is left out from the end. The Ready condition then says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ocrpool.resource.status import Condition, PoolStatus, WorkerReport

# Largest status as JSON, in bytes. The rest of etcd's limit is for the spec and the metadata.
STATUS_BYTES = 2**20
# Longest message of kubelet, the scheduler or the API server that is kept.
MESSAGE_CHARACTERS = 300


def shorten(text: str, most: int = MESSAGE_CHARACTERS) -> str:
    """Return a message of another component on one line, cut to the given length."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def deduplicate_problems(reports: Iterable[WorkerReport]) -> tuple[WorkerReport, ...]:
    """Sort workers with problems first. Of several with the same problem, the first keeps it and
    the others refer to that worker."""
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
    """Return the full problem of every worker, by name: the inverse of `deduplicate_problems`."""
    problems = {each.name: each.problem for each in reports}
    return {
        name: problems.get(problem.rpartition(": as ")[2], problem)
        if ": as " in problem
        else problem
        for name, problem in problems.items()
    }


def fit_status(status: PoolStatus, most: int = STATUS_BYTES) -> PoolStatus:
    """Return the status in at most `most` bytes. First the figures of workers without problems are
    dropped, then all figures, then workers from the end. Counts and conditions are kept."""
    if _size(status) <= most:
        return status
    note = "figures of some workers are left out: the status would be too large"
    without_problems = tuple(
        each if each.problem else _without_figures(each) for each in status.workers
    )
    rows = tuple(_without_figures(each) for each in status.workers)
    for given in (without_problems, rows):
        found = _with_workers(status, given, note)
        if _size(found) <= most:
            return found
    fit = _count_fitting(status, rows, most)
    note = f"{len(rows) - fit} workers are not listed: the status would be too large"
    return _with_workers(status, rows[:fit], note)


def _count_fitting(status: PoolStatus, rows: Sequence[WorkerReport], most: int) -> int:
    note = f"{len(rows)} workers are not listed: the status would be too large"
    left = most - _size(_with_workers(status, (), note))
    fit = 0
    for row in rows:
        left -= len(_json(row)) + 1
        if left < 0:
            break
        fit += 1
    return fit


def _without_figures(row: WorkerReport) -> WorkerReport:
    return WorkerReport(
        name=row.name,
        phase=row.phase,
        problem=row.problem,
        instances=row.instances,
        failures=row.failures,
        failed_at=row.failed_at,
    )


def _with_workers(status: PoolStatus, rows: tuple[WorkerReport, ...], note: str) -> PoolStatus:
    def add_note(each: Condition) -> Condition:
        if each.type != "Ready":
            return each
        return each.model_copy(update={"message": f"{each.message}; {note}"})

    conditions = tuple(add_note(each) for each in status.conditions)
    return status.model_copy(update={"workers": rows, "conditions": conditions})


def _size(status: PoolStatus) -> int:
    return len(_json(status))


def _json(part: PoolStatus | WorkerReport) -> bytes:
    return part.model_dump_json(by_alias=True).encode()
