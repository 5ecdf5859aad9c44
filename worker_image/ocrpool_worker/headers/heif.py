"""The primary picture of a HEIC or AVIF file (ISO 23008-12), and its size.

A file holds items (a picture, or the tiles of a picture, a thumbnail, EXIF data) and one list of
properties. The properties of an item are given as numbers in that list.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ocrpool_worker.headers.boxes import Box, boxes, first
from ocrpool_worker.headers.errors import UnknownFormat
from ocrpool_worker.ipc.shared_buffer import Buffer

_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_AVIF = (b"avif", b"avis")
_MOST_BRANDS = 64
# The most items plus properties of the primary item. A picture of 48 tiles has 50 and 4.
_MOST_GIVEN = 16_384


@dataclass(frozen=True, slots=True)
class HeifPicture:
    """The size of the primary picture as it is displayed, in pixels."""

    form: Literal["HEIC", "AVIF"]
    width: int
    height: int


def form_of(data: Buffer) -> Literal["HEIC", "AVIF"] | None:
    """The format by the file's brands, None for another format with the same kind of header."""
    (size,) = struct.unpack_from(">I", data, 0)
    end = min(size, 16 + 4 * _MOST_BRANDS, len(data))
    brands = [bytes(data[at : at + 4]) for at in (8, *range(16, end - 3, 4))]
    if any(brand in _AVIF for brand in brands):
        return "AVIF"
    return "HEIC" if any(brand in _HEIC for brand in brands) else None


def primary_picture(data: Buffer) -> HeifPicture:
    """Raises UnknownFormat; struct.error where the header ends too early."""
    form = form_of(data)
    if form is None:
        raise UnknownFormat("its first bytes are of no known format", unrecognised=True)
    meta = first(data, b"meta", 0, len(data))
    if meta is None:
        raise UnknownFormat(
            f"{form} without a still picture, as in a sequence or a file that is cut off"
        )
    inside = {box.kind: box for box in boxes(data, meta.start + 4, meta.end)}
    if b"pitm" not in inside or b"iprp" not in inside:
        raise UnknownFormat(f"{form} without a primary picture")
    at = inside[b"pitm"].start
    wide = data[at] > 0
    (primary,) = struct.unpack_from(">I" if wide else ">H", data, at + 4)
    width = height = 0
    turned = False
    for box in _properties(data, inside[b"iprp"], primary):
        if box.kind == b"ispe":
            width, height = struct.unpack_from(">II", data, box.start + 4)
        elif box.kind == b"irot":
            turned = bool(struct.unpack_from(">B", data, box.start)[0] & 1)
    if not width or not height:
        raise UnknownFormat(f"{form} whose primary picture has no size")
    return HeifPicture(form, height, width) if turned else HeifPicture(form, width, height)


def _properties(data: Buffer, iprp: Box, item: int) -> Iterator[Box]:
    """The properties of one item. Raises UnknownFormat if there are more than any file has."""
    # There is one list of properties, and possibly several lists of assignments, with one bound.
    ipco = first(data, b"ipco", iprp.start, iprp.end)
    known = [] if ipco is None else list(boxes(data, ipco.start, ipco.end))
    left = _MOST_GIVEN
    for box in boxes(data, iprp.start, iprp.end):
        if box.kind != b"ipma":
            continue
        for found, number in _given(data, box, item):
            left -= 1
            if left < 0:
                raise UnknownFormat(
                    f"a file with more than {_MOST_GIVEN} properties of its pictures"
                )
            if found and 0 < number <= len(known):
                yield known[number - 1]


def _given(data: Buffer, ipma: Box, item: int) -> Iterator[tuple[bool, int]]:
    """Yield (True, number) for each property of the item, and (False, 0) for each item."""
    version, flags, entries = struct.unpack_from(">BxxBI", data, ipma.start)
    head = struct.Struct(">IB" if version else ">HB")
    letter, width = ("H", 2) if flags & 1 else ("B", 1)
    at = ipma.start + 8
    for _ in range(entries):
        if at + head.size > ipma.end:
            return
        found, count = head.unpack_from(data, at)
        at += head.size
        yield False, 0
        if at + count * width > ipma.end:
            return
        if found == item:
            for number in struct.unpack_from(f">{count}{letter}", data, at):
                yield True, number & (0x7FFF if width == 2 else 0x7F)
        at += count * width
