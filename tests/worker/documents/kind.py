"""A kind of document: how it is generated, where it was reported, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

Verdict = Literal["read", "read, with a warning", "with mistakes", "refused", "not read"]

# Less than so much of the text in common with what is written: that is no reading of it.
_MISTAKES = 0.6


@dataclass(frozen=True)
class Kind:
    """One kind of document as people have it.

    `reported`: thread of a tracker on GitHub, `owner/name#number`. `how`: how `make` makes the
    file, in words. `says`: the lines that are written on it, none where there is no text.
    `verdict`: what `/v1/ocr` does with it, with the models and settings of a worker by default.
    `told`: of a refusal or a warning, a part of it; else, in words, what is wrong and why.
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
        """The address of the thread (GitHub leads from `issues` to a pull request too)."""
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
    """A kind that is about what is on the paper: a PNG, or what `how` says."""
    return Kind(name, reported, how, make, says, verdict, told)


def judged(kind: Kind, status: int, body: Mapping[str, Any]) -> tuple[Verdict, str]:
    """(verdict, what the answer says in short) of an answer of `/v1/ocr`. The order of lines does
    not count."""
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
    """Whether a verdict is the one that the kind's row in docs/documents.md promises."""
    told = kind.told if verdict in ("refused", "read, with a warning") else ""
    return verdict == kind.verdict and told in said
