"""The error of the command line: one line with the problem and the remedy."""

from __future__ import annotations


class DevClusterError(Exception):
    """A problem that the caller can fix. The command line prints it as one line and exits with
    1."""

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(f"{what}. {mend}")
        self.what = what
        self.mend = mend
