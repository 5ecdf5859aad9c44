"""Why a header tells nothing."""


class UnknownFormat(Exception):
    """The bytes are none of the known formats, or damaged before their size is told."""

    def __init__(self, message: str, *, unrecognised: bool = False) -> None:
        """`unrecognised`: the first bytes are of none of the formats."""
        super().__init__(message)
        self.unrecognised = unrecognised
