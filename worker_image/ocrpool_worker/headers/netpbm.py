"""Headers of PBM, PGM and PPM. Scanner programs write them (SANE's scanimage by default)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ocrpool_worker.headers.errors import UnknownFormat
from ocrpool_worker.ipc.shared_buffer import Buffer

# Comments may stand between the numbers.
_LONGEST_HEAD = 4096
_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"
_BITMAP = re.compile(rb"P([14])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})\s")
_OTHERS = re.compile(
    rb"P([2356])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})\s"
)


@dataclass(frozen=True, slots=True)
class Head:
    """`kind`: the digit of P1 to P6. `pixels_at`: the offset of the pixels."""

    kind: int
    width: int
    height: int
    largest: int
    pixels_at: int


def begins(start: bytes) -> bool:
    """Whether a file with these first bytes is a PBM, PGM or PPM."""
    return start[:1] == b"P" and start[1:2] in b"123456" and start[2:3] in b" \t\r\n#"


def size(data: Buffer) -> tuple[int, int]:
    """Raises UnknownFormat."""
    found = head(data)
    return found.width, found.height


def head(data: Buffer) -> Head:
    """Raises UnknownFormat."""
    start = bytes(data[:_LONGEST_HEAD])
    found = _BITMAP.match(start) or _OTHERS.match(start)
    if found is None:
        raise UnknownFormat("a PBM, PGM or PPM without a size in its first 4096 bytes")
    kind, width, height, largest = (int(number) for number in (*found.groups(), b"1")[:4])
    if not 0 < largest < 65536:
        raise UnknownFormat("a PGM or PPM whose largest value is not between 1 and 65535")
    return Head(kind, width, height, largest, found.end())
