"""Find the frames of a TIFF that are pages, and check that they are completely in the file.

Pillow reads every tag of every frame into memory: a file of a megabyte can name the same bytes in
ten thousand tags, or chain millions of empty frames. And decoders accept frames whose pixels are
not all in the file, and silently omit frames that have not arrived.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from ocrpool_worker.decoding import jpeg_markers
from ocrpool_worker.errors import NotAnImage
from ocrpool_worker.ipc.shared_buffer import Buffer

# Frames that are counted, far above any limit of pages.
MOST_FRAMES = 100_000
# Tags of all frames together. A frame has about twenty.
MOST_TAGS = 1_000_000
# Strips or tiles of a frame, and JPEG strips of the file that are examined inside. For other strips
# only the offsets are checked.
MOST_PIECES = 1_000_000
MOST_JPEG_PIECES = 10_000
# Values of a tag that describes the samples: one for each sample of a pixel.
MOST_VALUES = 16
STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

# Bytes of one value of each of TIFF's types.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
_COMPRESSION, _STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES = 259, 273, 279, 324, 325
_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT = 254, 255, 256, 257
_EXAMINED = frozenset(
    {
        *(_COMPRESSION, _STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES),
        *(_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT),
    }
)
# TIFF 6.0, NewSubfileType: bits for a smaller copy of another frame, a page, and a mask. The last
# value is that of the old SubfileType for a smaller copy.
_REDUCED, _PAGE, _MASK, _OLD_REDUCED = 1, 2, 4, 2
_JPEG = 7
# Tags from here on are private to single programs, and decoders do not need them.
_PRIVATE = 32768


class _Layout:
    """The number formats of one file: its byte order, and wider numbers in a BigTIFF."""

    def __init__(self, data: Buffer) -> None:
        start = bytes(data[:4])
        self.order = "<" if start.startswith(b"II") else ">"
        big = b"+" in start[2:]
        letter = "Q" if big else "I"
        self.offset = struct.Struct(self.order + letter)
        self.count = struct.Struct(self.order + ("Q" if big else "H"))
        self.entry = struct.Struct(f"{self.order}HH{letter}{self.offset.size}s")
        self.first = 8 if big else 4


@dataclass(slots=True)
class _Bounds:
    """What was examined of a file so far."""

    tags: int = 0
    tables: int = 0
    pieces: int = 0
    # Offset of each frame → its pixels if it is a smaller copy of another, 0 if it is a mask, -1 if
    # it is neither.
    seen: dict[int, int] = field(default_factory=dict)
    largest: int = 0


def find_pages(data: Buffer) -> tuple[int, ...]:
    """Return the offset of each page of a TIFF.

    Pages are the frames in their order, without masks and smaller copies (thumbnails) of a larger
    frame. If there are only those, they are the pages. A chain that leads back to an earlier frame
    ends there, as in decoders. Frames outside the chain (SubIFDs) are ignored. Raises NotAnImage,
    also if a frame or a part of it is not in the file.
    """
    layout = _Layout(data)
    bounds = _Bounds()
    try:
        (at,) = layout.offset.unpack_from(data, layout.first)
        while at and at not in bounds.seen and len(bounds.seen) < MOST_FRAMES:
            at = _frame(data, at, layout, bounds)
    except struct.error:
        number = len(bounds.seen) + 1
        which = "its first frame" if number == 1 else f"frame {number} or before it"
        raise NotAnImage(
            f"the TIFF ends within {which}: {number - 1} frames and {len(data)} bytes arrived; "
            "send the whole file (was the upload interrupted?)",
            field="file",
        ) from None
    pages = (at for at, kind in bounds.seen.items() if kind < 0 or kind >= bounds.largest > 0)
    return tuple(pages) or tuple(bounds.seen) or (0,)


def count_frames(data: Buffer) -> int:
    """The number of pages of a TIFF. Raises NotAnImage."""
    return len(find_pages(data))


def tags_of(data: Buffer, at: int, requested: Set[int]) -> dict[int, tuple[int, ...]]:
    """The `requested` tags of a frame of `find_pages` that have up to 16 whole numbers as values.
    Raises NotAnImage."""
    layout = _Layout(data)
    found: dict[int, tuple[int, ...]] = {}
    try:
        (count,) = layout.count.unpack_from(data, at)
        first = at + layout.count.size
        for tag, kind, values, value in layout.entry.iter_unpack(
            data[first : first + count * layout.entry.size]
        ):
            if tag in requested and values <= MOST_VALUES:
                numbers = _numbers(data, (kind, values, value), layout, _Bounds())
                found.setdefault(tag, tuple(numbers))
    except struct.error:
        raise NotAnImage("the TIFF's tags are damaged", field="file") from None
    return found


def with_first(data: bytearray, at: int) -> bytearray:
    """Make the frame at `at` the first one, in place, so that any decoder reads that one."""
    layout = _Layout(data)
    layout.offset.pack_into(data, layout.first, at)
    return data


def first_of(data: Buffer) -> int:
    """The offset of the first frame. Raises struct.error."""
    layout = _Layout(data)
    return int(layout.offset.unpack_from(data, layout.first)[0])


def check_first(data: Buffer) -> None:
    """Check the first frame only. Raises NotAnImage, and struct.error if it is not there."""
    layout = _Layout(data)
    (at,) = layout.offset.unpack_from(data, layout.first)
    _frame(data, at, layout, _Bounds())


def _frame(data: Buffer, at: int, layout: _Layout, bounds: _Bounds) -> int:
    """Check the frame at `at`. Returns the offset of the next one, 0 for none."""
    number = len(bounds.seen) + 1
    if at > len(data):
        raise struct.error  # an offset of a BigTIFF can be too large for an index
    (count,) = layout.count.unpack_from(data, at)
    first = at + layout.count.size
    end = first + count * layout.entry.size
    if end > len(data):
        raise struct.error
    bounds.tags += count
    if bounds.tags > MOST_TAGS:
        raise NotAnImage(f"the TIFF has more than {MOST_TAGS} tags", field="file")
    claimed = lost = 0
    requested: dict[int, tuple[int, int, bytes]] = {}
    for tag, kind, values, value in layout.entry.iter_unpack(data[first:end]):
        size = _SIZES.get(kind, 1) * values
        if size > layout.offset.size:
            claimed += size
            (value_at,) = layout.offset.unpack(value)
            if tag < _PRIVATE and value_at + size > len(data):
                lost = tag
        if tag in _EXAMINED:
            requested.setdefault(tag, (kind, values, value))
    if claimed > len(data):
        raise NotAnImage(
            f"frame {number} of the TIFF has tags of {claimed} bytes, but the file has {len(data)}",
            field="file",
        )
    if lost:
        raise NotAnImage(
            f"frame {number} of the TIFF is not complete: its tag {lost} lies beyond the "
            f"{len(data)} bytes that arrived; send the whole file (was the upload interrupted?)",
            field="file",
        )
    (following,) = layout.offset.unpack_from(data, end)
    if requested:
        _check_pixels(data, number, requested, layout, bounds)
    bounds.seen[at] = _copy_of_another(data, requested, layout, bounds)
    return int(following)


def _copy_of_another(
    data: Buffer, tags: dict[int, tuple[int, int, bytes]], layout: _Layout, bounds: _Bounds
) -> int:
    """The value of a frame for `_Bounds.seen`. Also records the largest frame that is a page."""
    first = {
        tag: int(next(iter(_numbers(data, tags.get(tag), layout, bounds)), 0))
        for tag in (_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT)
        if tags.get(tag, (0, 0, b""))[1] == 1
    }
    kind, pixels = first.get(_SUBFILE, 0), first.get(_WIDTH, 0) * first.get(_HEIGHT, 0)
    if kind & _MASK:
        return 0
    reduced = kind & _REDUCED or first.get(_OLD_SUBFILE) == _OLD_REDUCED
    if reduced and not kind & _PAGE:
        return pixels
    bounds.largest = max(bounds.largest, pixels)
    return -1


def _check_pixels(
    data: Buffer,
    number: int,
    tags: dict[int, tuple[int, int, bytes]],
    layout: _Layout,
    bounds: _Bounds,
) -> None:
    """Raise NotAnImage if strips or tiles of frame `number` are not in the file."""
    for at_tag, size_tag, name in (
        (_STRIPS, _STRIP_SIZES, "strips"),
        (_TILES, _TILE_SIZES, "tiles"),
    ):
        offsets = _numbers(data, tags.get(at_tag), layout, bounds)
        sizes = _numbers(data, tags.get(size_tag), layout, bounds)
        # Without sizes, a strip must at least begin inside the file.
        sizes = sizes or [1] * len(offsets)
        pieces = list(zip(offsets, sizes, strict=False))
        there = sum(at + size <= len(data) for at, size in pieces)
        compression = _numbers(data, tags.get(_COMPRESSION), layout, bounds)
        if there == len(pieces) and list(compression[:1]) == [_JPEG]:
            there = sum(_jpeg_ends(data, at, size, bounds) for at, size in pieces)
        if there < len(pieces):
            raise NotAnImage(
                f"frame {number} of the TIFF is not complete: {there} of its {len(pieces)} {name} "
                f"arrived ({len(data)} bytes in all); send the whole file (was the upload "
                "interrupted?)",
                field="file",
            )


def _jpeg_ends(data: Buffer, at: int, size: int, bounds: _Bounds) -> bool:
    bounds.pieces += 1
    piece = memoryview(data)[at : at + size]
    return not size or bounds.pieces > MOST_JPEG_PIECES or jpeg_markers.examine(piece).complete


def _numbers(
    data: Buffer, tag: tuple[int, int, bytes] | None, layout: _Layout, bounds: _Bounds
) -> Sequence[int]:
    """The values of a tag that holds whole numbers; none for any other tag."""
    if tag is None or tag[0] not in _NUMBERS:
        return ()
    kind, values, value = tag
    if values > MOST_PIECES:
        raise NotAnImage(f"the TIFF has more than {MOST_PIECES} strips or tiles", field="file")
    numbers = struct.Struct(f"{layout.order}{values}{_NUMBERS[kind]}")
    if numbers.size <= layout.offset.size:
        return numbers.unpack_from(value)
    bounds.tables += numbers.size
    if bounds.tables > len(data):
        raise NotAnImage(
            f"the strips or tiles of the TIFF are listed in {bounds.tables} bytes, but the file "
            f"has {len(data)}",
            field="file",
        )
    (at,) = layout.offset.unpack(value)
    if at + numbers.size > len(data):
        raise struct.error
    return numbers.unpack_from(data, at)
