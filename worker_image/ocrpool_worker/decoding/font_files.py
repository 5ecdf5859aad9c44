"""Find the font files of this machine, and the characters that each has glyphs for.

The OpenType tables `cmap` (formats 4 and 12) and `OS/2` are read directly from the file. A hundred
fonts take a tenth of a second, once in the life of an instance. A file that cannot be read as a
font is logged and skipped, because it must not fail a request.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]
    Bools = NDArray[np.bool_]

_log = logging.getLogger(__name__)

ASSETS = Path(__file__).resolve().parents[1] / "assets"
# The folders of fonts on Linux, by fontconfig's defaults. The package's own font comes last.
FOLDERS = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path("~/.local/share/fonts"),
    Path("~/.fonts"),
    ASSETS,
)
MOST_FILES, MOST_ENTRIES = 1000, 20_000
LARGEST_FILE = 128 * 2**20

_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
_UNICODE = {(3, 10), (0, 4), (0, 6), (3, 1), (0, 3), (0, 2), (0, 1), (0, 0)}
_REGULAR, _NORMAL_WIDTH, _ITALIC = (350, 450), 5, 1


@dataclass(frozen=True)
class FontFace:
    """The first face of a font file. `start`: its offset in a collection, else 0. `data`: the whole
    file, mapped into memory; it stays valid after the file was removed."""

    path: Path
    start: int
    data: mmap.mmap = field(repr=False, compare=False)


def font_faces(folders: Iterable[Path] = FOLDERS) -> Iterator[FontFace]:
    """Yield the upright outline faces of regular weight, in the order of the folders and paths.

    Files that cannot be read as fonts are skipped. Each face keeps its file mapped.
    """
    for path in islice(_files(folders), MOST_FILES):
        try:
            face = open_face(path)
            regular = _Tables(face.data).is_regular()
        except Exception as error:  # a damaged file causes many kinds of exceptions
            log_unusable(path, error)
            continue
        if regular:
            yield face


def open_face(path: Path) -> FontFace:
    """Map a font file. Raises OSError, ValueError, or struct.error."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > LARGEST_FILE:
            raise ValueError("it is too large")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return FontFace(path, _Tables(data).start, data)


def log_unusable(path: Path, error: Exception) -> None:
    """Log that a font file is not used."""
    what = f"{type(error).__name__}: {error}"
    # The details are in the message, because an instance logs plain lines.
    _log.warning("the font file %s cannot be used: %s", printable(path), what)


def printable(path: Path) -> str:
    """A path as text for the log. Its name may be invalid UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def covered(face: FontFace, codes: Codes) -> Bools:
    """For each of these characters, whether the face has a glyph. A damaged file raises
    anything."""
    import numpy as np  # noqa: PLC0415

    found = np.zeros(len(codes), np.bool_)
    tables = _Tables(face.data)
    for form, at in tables.character_maps():
        read = _format_12 if form == 12 else _format_4
        found |= read(tables.data, at, codes)
    return found


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    left = MOST_ENTRIES
    for folder in folders:
        expanded = os.path.expanduser(folder)
        if expanded.startswith("~"):
            continue  # a user without a home
        for parent, below, names in os.walk(expanded):
            below.sort()
            left -= len(names)
            if left < 0:
                return
            for name in sorted(names):
                if name.lower().endswith(_SUFFIXES):
                    yield Path(parent, name)


class _Tables:
    """The tables of a font file's first face."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.start = 0
        if data[:4] == b"ttcf":
            (self.start,) = struct.unpack_from(">I", data, 12)
        (count,) = struct.unpack_from(">H", data, self.start + 4)
        entries = (
            struct.unpack_from(">4sIII", data, self.start + 12 + 16 * n) for n in range(count)
        )
        self._at = {name: at for name, _, at, _ in entries}

    def is_regular(self) -> bool:
        """Whether it is neither bold, light, narrow nor italic, and has outline glyphs."""
        outlines = b"glyf" in self._at or b"CFF " in self._at
        if not outlines or b"cmap" not in self._at or b"OS/2" not in self._at:
            return False
        weight, width = struct.unpack_from(">HH", self.data, self._at[b"OS/2"] + 4)
        (selection,) = struct.unpack_from(">H", self.data, self._at[b"OS/2"] + 62)
        regular = _REGULAR[0] <= weight <= _REGULAR[1]
        return regular and width == _NORMAL_WIDTH and not selection & _ITALIC

    def character_maps(self) -> Iterator[tuple[int, int]]:
        """(format, offset) of the Unicode maps in a supported format."""
        at = self._at[b"cmap"]
        (count,) = struct.unpack_from(">H", self.data, at + 2)
        for number in range(count):
            *kind, offset = struct.unpack_from(">HHI", self.data, at + 4 + 8 * number)
            (form,) = struct.unpack_from(">H", self.data, at + offset)
            if tuple(kind) in _UNICODE and form in (4, 12):
                yield form, at + offset


def _format_12(data: mmap.mmap, at: int, codes: Codes) -> Bools:
    """Look characters up in groups of consecutive characters with consecutive glyphs."""
    import numpy as np  # noqa: PLC0415

    (count,) = struct.unpack_from(">I", data, at + 12)
    groups = _numbers(data, at + 16, ">u4", 3 * count).reshape(-1, 3)
    if not len(groups):
        return np.zeros(len(codes), np.bool_)
    group = np.minimum(np.searchsorted(groups[:, 1], codes), len(groups) - 1)
    first, last, glyph = groups[group].T
    found: Bools = (first <= codes) & (codes <= last) & (glyph + (codes - first) != 0)
    return found


def _format_4(data: mmap.mmap, at: int, codes: Codes) -> Bools:
    """Look characters up in segments of the first 65,536, each with a delta or a list of glyphs."""
    import numpy as np  # noqa: PLC0415

    length, _, twice = struct.unpack_from(">HHH", data, at + 2)
    count = twice // 2
    ends = _numbers(data, at + 14, ">u2", count)
    starts, deltas, offsets = (
        _numbers(data, at + 16 + twice * which, ">u2", count) for which in (1, 2, 3)
    )
    if not count:
        return np.zeros(len(codes), np.bool_)
    segment = np.minimum(np.searchsorted(ends, codes), count - 1)
    inside = (starts[segment] <= codes) & (codes <= ends[segment])
    # An offset is relative to its own position, and leads to the segment's first glyph.
    places = 16 + twice * 3 + 2 * segment + offsets[segment] + 2 * (codes - starts[segment])
    listed = offsets[segment] != 0
    places = np.where(inside & listed & (places + 2 <= length), places, 0)
    words = _numbers(data, at, ">u2", length // 2)
    glyphs = np.where(listed, words[places // 2], codes)
    glyphs = np.where(listed & ((glyphs == 0) | (places == 0)), 0, glyphs + deltas[segment])
    found: Bools = inside & (glyphs % 65536 != 0)
    return found


def _numbers(data: mmap.mmap, at: int, kind: str, count: int) -> NDArray[np.int64]:
    """Read `count` numbers. Raises ValueError if they are not all in the file."""
    import numpy as np  # noqa: PLC0415

    size = np.dtype(kind).itemsize * count
    return np.frombuffer(data[at : at + size], kind, count).astype(np.int64)
