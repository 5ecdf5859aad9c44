"""The report of a measurement: a table, the method, and the goals that were met."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tools.bench.lib.machine import Machine


@dataclass(frozen=True)
class Goal:
    """`value` should be at least `limit`, or at most where `at_least` is false."""

    text: str
    value: float
    limit: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        verdict = "met" if self.met else "NOT met"
        return f"{self.text}: {self.value:.3g} (goal {sign} {self.limit:g}): {verdict}"


@dataclass(frozen=True)
class Report:
    """`rounds`: every single figure behind the medians of the table."""

    part: str
    title: str
    method: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    goals: tuple[Goal, ...] = ()
    rounds: dict[str, Any] = field(default_factory=dict)

    def markdown(self) -> str:
        lines = [f"## {self.part}: {self.title}", ""]
        lines += _table(self.columns, self.rows)
        if self.goals:
            lines += ["", *(f"- {goal}" for goal in self.goals)]
        lines += ["", "Method: " + " ".join(self.method), ""]
        return "\n".join(lines)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table with aligned columns, for terminals."""
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join([first, *rest]) + " |"

    rule = "|" + "|".join(
        "-" * (width + 1) + ("-" if i == 0 else ":") for i, width in enumerate(widths)
    )
    return [line(columns), rule + "|", *(line(row) for row in rows)]


def write(
    folder: Path, machine: Machine, reports: Sequence[Report], *, quick: bool, label: str
) -> Path:
    """Write `<date>-<cpu><label>.md` and `.json`. Returns the path of the first.

    `label` keeps a partial or quick run from overwriting the whole one of the same day.
    """
    date = datetime.date.today().isoformat()
    slug = re.sub(r"[^a-z0-9]+", "-", machine.cpu.lower()).strip("-")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{date}-{slug}{label}.md"
    heading = [f"# Measured on {date}", "", str(machine), ""]
    if quick:
        heading += ["A quick run (`--quick`): one round, not to be quoted.", ""]
    path.write_text("\n".join(heading) + "\n" + "\n".join(r.markdown() for r in reports))
    data = {
        "date": date,
        "quick": quick,
        "machine": asdict(machine),
        "reports": [
            asdict(report) | {"goals": [asdict(g) | {"met": g.met} for g in report.goals]}
            for report in reports
        ],
    }
    path.with_suffix(".json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    return path
