"""The one kind of error that a person sees: one line, what is wrong and how to mend it."""

from __future__ import annotations


class DevClusterError(Exception):
    """Something that the caller can mend. The command line prints it as one line and exits 1."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(f"{what}. {mend}")
        self.what = what
        self.mend = mend
