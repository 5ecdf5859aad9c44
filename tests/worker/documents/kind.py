"""A kind of document: how it is generated, where it was reported, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

Verdict = Literal["read", "read, with a warning", "with mistakes", "refused", "not read"]

# Below this similarity of the read and the written text, the document counts as not read.
_MISTAKES = 0.6


@dataclass(frozen=True)
class Kind:
    """One kind of document.

    `reported`: the thread of a tracker on GitHub, `owner/name#number`. `how`: a description of how
    `make` builds the file. `says`: the lines that are written on it, none if it has no text.
    `verdict`: the result of `/v1/ocr` with the default models and settings of a worker. `told`: a
    part of the error or warning message; for other verdicts, what is wrong and why.
    """

    name: str
    reported: str
    how: str
    make: Callable[[], bytes]
    says: tuple[str, ...]
    verdict: Verdict = "read"
    told: str = ""

    @property
    def url(self) -> str:
        """The address of the thread. GitHub redirects from `issues` to a pull request."""
        repository, _, number = self.reported.partition("#")
        return f"https://github.com/{repository}/issues/{number}"


def drawn(
    name: str,
    reported: str,
    make: Callable[[], bytes],
    says: tuple[str, ...],
    *,
    verdict: Verdict = "read",
    told: str = "",
    how: str = "drawn",
) -> Kind:
    """A kind whose subject is the printed content: a PNG, or as `how` says."""
    return Kind(name, reported, how, make, says, verdict, told)


def judged(kind: Kind, status: int, body: Mapping[str, Any]) -> tuple[Verdict, str]:
    """Return (verdict, summary) of an answer of `/v1/ocr`. The order of the lines is ignored."""
    if status != 200:
        error = body.get("error", {})
        return "refused", f"{status} {error.get('reason')}: {error.get('message')}"
    pages: Sequence[Mapping[str, Any]] = body["pages"]
    lines = [line["text"] for page in pages for line in page["lines"]]
    warnings = [one["reason"] for page in pages for one in page.get("warnings", ())]
    said = " / ".join(lines) + "".join(f" ({reason})" for reason in warnings)
    if sorted(lines) == sorted(kind.says):
        return ("read, with a warning" if warnings else "read"), said
    alike = SequenceMatcher(None, "".join(kind.says), "".join(lines), autojunk=False).ratio()
    return ("with mistakes" if alike >= _MISTAKES else "not read"), said


def as_expected(kind: Kind, verdict: Verdict, said: str) -> bool:
    """Whether a verdict is the one in the kind's row of docs/documents.md."""
    told = kind.told if verdict in ("refused", "read, with a warning") else ""
    return verdict == kind.verdict and told in said
