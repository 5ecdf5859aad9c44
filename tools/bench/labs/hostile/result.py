"""The answers to the regular clients, and the rows of the table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tools.bench.labs.hostile.pages import CheckedRequest, texts_in

# Statuses that ask the client to try again. They say nothing about the page.
TRY_AGAIN = {429, 503, 504}


@dataclass
class RequestCounts:
    """Requests of the regular clients. `lost`: no answer, or 429, 503 or 504 until the client gave
    up; `doubled`: more than one answer; `refused`: an error that is about the page itself."""

    sent: int = 0
    right: int = 0
    again: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    refused: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def check_answer(
        self, request: CheckedRequest, status: int, body: bytes, *, patient: bool
    ) -> bool:
        """Count one answer. Returns whether the request is sent again."""
        self.statuses[status] += 1
        if status == 200:
            try:
                found = texts_in(body, all_lines=request.all_lines)
            except (ValueError, KeyError, IndexError, TypeError):
                found = ("no answer that can be read",)
            if found == request.texts:
                self.right += 1
            else:
                self.wrong += 1
                self.note(f"request {request.number}: {found} in place of {request.texts}")
            return False
        if status in TRY_AGAIN and patient:
            self.again += 1
            return True
        self.refused += 1
        self.note(f"request {request.number} was refused: {status} {body[:300]!r}")
        return False

    def record_lost(self, request: CheckedRequest, why: str) -> None:
        self.lost += 1
        self.note(f"request {request.number} was lost: {why}")

    def note(self, text: str) -> None:
        if len(self.notes) < 3:
            self.notes.append(text)


@dataclass
class AttackResult:
    """One row. `held`: the load in words. Memory is in bytes, times are in seconds. `problems`: one
    sentence for each broken bound; `notes`: what could not be tried here, and why."""

    name: str
    held: str = ""
    faults: int = 0
    bad: int = 0
    counts: RequestCounts = field(default_factory=RequestCounts)
    peak: int = 0
    resting: int = 0
    budget: int = 0
    cpu: float = 0.0
    cpu_of: str = ""
    stall: float = 0.0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def expect(self, met: bool, otherwise: str) -> None:
        """Check a bound. `otherwise` describes what was observed where it is not met."""
        if not met:
            self.problems.append(otherwise)
