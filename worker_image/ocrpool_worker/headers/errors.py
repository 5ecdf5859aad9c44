"""The error for a header that cannot be read."""


class UnknownFormat(Exception):
    """The bytes are not of a known format, or are damaged before the size."""

    def __init__(self, message: str, *, unrecognised: bool = False) -> None:
        """`unrecognised`: the first bytes are of none of the formats."""
        super().__init__(message)
        self.unrecognised = unrecognised
