"""Why a header tells nothing."""


class Unknown(Exception):
    """The bytes are none of the known formats, or damaged before their size is told."""

    def __init__(self, message: str, *, strange: bool = False) -> None:
        """`strange`: the first bytes are of none of the formats."""
        super().__init__(message)
        self.strange = strange
