"""TIFFs with all kinds of samples, written by hand: Pillow and OpenCV read more than they write."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
SUBFILE, ORIENTATION, COLOUR_MAP, EXTRA_SAMPLES = 254, 274, 320, 338
_SHORT, _LONG, _LONG8 = 3, 4, 16


@dataclass(frozen=True)
class Frame:
    """One frame: `samples` is H×W or H×W×N of any type of number; `bits` of a sample where they
    are fewer than its type has (1, 2 and 4 are packed). `planar`: each sample has a strip of its
    own. `tile`: tiles of so many pixels a side. `tags`: more tags, or others than these."""

    samples: NDArray[np.generic]
    photometric: int = BLACK_IS_ZERO
    bits: int = 0
    planar: bool = False
    tile: int = 0
    tags: Mapping[int, Sequence[int]] = field(default_factory=dict)


def tiff(*frames: Frame, order: str = "<", big: bool = False) -> bytes:
    """The file: little-endian, or big-endian with `order` ">"; a BigTIFF with `big`."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "I", 8)
    out = bytearray(head)
    for number, frame in enumerate(frames, 1):
        _append(out, frame, order, big, last=number == len(frames))
    return bytes(out)


def _append(out: bytearray, frame: Frame, order: str, big: bool, *, last: bool) -> None:
    height, width = frame.samples.shape[:2]
    count = 1 if frame.samples.ndim == 2 else frame.samples.shape[2]
    bits = frame.bits or frame.samples.dtype.itemsize * 8
    kinds = {"u": 1, "i": 2, "f": 3}
    tags: dict[int, Sequence[int]] = {
        256: [width],
        257: [height],
        258: [bits] * count,
        259: [1],
        262: [frame.photometric],
        277: [count],
        278: [height],
        284: [2 if frame.planar else 1],
        339: [kinds[frame.samples.dtype.kind]] * count,
    }
    pieces = list(_pieces(frame, order, bits))
    at_tag, size_tag = (324, 325) if frame.tile else (273, 279)
    if frame.tile:
        tags |= {322: [frame.tile], 323: [frame.tile]}
    tags |= {at_tag: [0] * len(pieces), size_tag: [len(each) for each in pieces], **frame.tags}

    word, entry, room = ("Q", "HHQ", 8) if big else ("I", "HHI", 4)
    longs = {at_tag, size_tag}
    table = (8 if big else 2) + len(tags) * (struct.calcsize(order + entry) + room) + room
    data = bytearray()
    start = len(out) + table
    offsets = []
    for piece in pieces:
        offsets.append(start + len(data))
        data += piece + b"\0" * (len(piece) % 2)
    tags[at_tag] = offsets
    directory = struct.pack(order + ("Q" if big else "H"), len(tags))
    for tag, values in sorted(tags.items()):
        kind, letter = (_LONG, "I") if tag in longs else (_SHORT, "H")
        value = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(value) > room:
            offset = start + len(data)
            data += value + b"\0" * (len(value) % 2)
            value = struct.pack(order + word, offset)
        directory += struct.pack(order + entry, tag, kind, len(values)) + value.ljust(room, b"\0")
    following = 0 if last else start + len(data)
    out += directory + struct.pack(order + word, following) + data


def _pieces(frame: Frame, order: str, bits: int) -> list[bytes]:
    samples = frame.samples
    planes = [samples]
    if frame.planar:
        planes = [samples[:, :, number] for number in range(samples.shape[2])]
    if not frame.tile:
        return [packed(plane, order, bits) for plane in planes]
    height, width = samples.shape[:2]
    pieces = []
    for plane in planes:
        for top in range(0, height, frame.tile):
            for left in range(0, width, frame.tile):
                piece = plane[top : top + frame.tile, left : left + frame.tile]
                whole = np.zeros((frame.tile, frame.tile, *plane.shape[2:]), plane.dtype)
                whole[: piece.shape[0], : piece.shape[1]] = piece
                pieces.append(packed(whole, order, bits))
    return pieces


def packed(samples: NDArray[np.generic], order: str, bits: int) -> bytes:
    """Rows of samples as in files; samples of fewer bits are packed."""
    if bits >= 8 and bits % 8 == 0:
        return samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    rows = samples.reshape(samples.shape[0], -1).astype(np.uint16)
    one = (rows[:, :, None] >> np.arange(bits - 1, -1, -1, dtype=np.uint16)) & 1
    return np.packbits(one.astype(np.uint8).reshape(samples.shape[0], -1), axis=1).tobytes()
