"""Fonts for text of PDFs whose own are not in the file.

PDFium draws such text in fonts of its own, which have the letters of Western Europe, and draws
nothing where they have no glyph: no Polish ą, no Cyrillic, no Greek, no Chinese. On request it is
given faces of this machine instead, through its own hook (`fpdf_sysfontinfo.h`). Without request
the hook does what PDFium's own one does, so that a page that lacks nothing looks as ever.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrpool_worker.decoding.font_files import (
    FontFace,
    covered,
    font_faces,
    log_unusable,
    open_face,
    printable,
)

if TYPE_CHECKING:
    from ocrpool_worker.decoding.font_files import Codes

_log = logging.getLogger(__name__)

# PDFium's numbers of character sets (those of Windows), and an encoding that holds each.
_EAST_ASIAN = {134: "gb2312", 136: "big5", 128: "shift_jis", 129: "euc_kr"}
_LETTERS = ("cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "cp1258")
# The tag of a collection's header, by which PDFium asks for the whole file of one.
_COLLECTION = 0x74746366


@dataclass(frozen=True)
class FontChoice:
    """The faces to draw with: by PDFium's character set, and for all others (also for what a face
    of a character set lacks)."""

    by_charset: Mapping[int, FontFace]
    other: FontFace

    def face(self, charset: int) -> FontFace:
        return self.by_charset.get(charset, self.other)

    def lacks(self, characters: set[str]) -> set[str]:
        """Those of the characters that none of the faces has."""
        import numpy as np  # noqa: PLC0415

        codes = np.array(sorted(ord(each) for each in characters), np.int64)
        found = np.zeros(len(codes), np.bool_)
        for face in {self.other, *self.by_charset.values()}:
            found |= covered(face, codes)
        return {chr(code) for code in codes[~found]}


@cache
def choose_fonts() -> FontChoice | None:
    """The faces of this machine that cover most, looked for once; None where it has none."""
    # Those encodings have Greek and Cyrillic letters, too, which say nothing here.
    east = {charset: _repertoire(name, since=0x2E80) for charset, name in _EAST_ASIAN.items()}
    letters = _repertoire(*_LETTERS)
    scores = []
    for face in font_faces():
        try:
            share = float(covered(face, letters).mean())
            shares = {charset: float(covered(face, each).mean()) for charset, each in east.items()}
        except Exception as error:  # a damaged file makes many kinds of them
            log_unusable(face.path, error)
            continue
        # Without the open file: there may be more of them than a process may have open.
        scores.append(_FontCoverage(face.path, share, shares))
    # One with all letters and the most of East Asia: it is also asked for what another one lacks.
    other = _best(scores, lambda one: (round(one.letters, 1), sum(one.shares.values())))
    if other is None:
        return None
    by_charset = {}
    for charset in east:
        able = [one for one in scores if one.shares[charset]]
        found = _best(able, partial(_share, charset))
        if found is not None:
            by_charset[charset] = found
    names = {"other": printable(other.path)} | {
        _EAST_ASIAN[charset]: printable(face.path) for charset, face in by_charset.items()
    }
    _log.info("fonts for text of PDFs that have none", extra={"fonts": names})
    return FontChoice(by_charset, other)


@dataclass(frozen=True)
class _FontCoverage:
    """The shares of the letters, and of each character set of East Asia, that a font file has."""

    path: Path
    letters: float
    shares: Mapping[int, float]


def _share(charset: int, score: _FontCoverage) -> float:
    return score.shares[charset]


def _best(scores: list[_FontCoverage], key: Callable[[_FontCoverage], Any]) -> FontFace | None:
    """The best face whose file can (still) be opened."""
    for score in sorted(scores, key=key, reverse=True):
        try:
            return open_face(score.path)
        except Exception as error:  # as above
            log_unusable(score.path, error)
    return None


@contextmanager
def substituting(choice: FontChoice) -> Iterator[None]:
    """What PDFium loads meanwhile of fonts that are not embedded is drawn with these faces."""
    handler = _handler()
    handler.choice = choice
    try:
        yield
    finally:
        handler.choice = None


def install() -> None:
    """Put the hook in. PDFium looks at the machine's fonts when it first needs one, and only once:
    a hook that comes later would not know them."""
    _handler()


@cache
def _repertoire(*encodings: str, since: int = 0x80) -> Codes:
    """All characters of these encodings from that one on."""
    import numpy as np  # noqa: PLC0415

    high = range(0x80, 0x100)
    single = bytes(high)
    # With spaces between them: a pair that stands for nothing must not shift the next one.
    double = b"  ".join(bytes((first, second)) for first in high for second in range(0x40, 0x100))
    text = set()
    for encoding in encodings:
        data = single if encoding.startswith("cp") else double
        text |= set(data.decode(encoding, "ignore"))
    return np.array(sorted(ord(each) for each in text if ord(each) >= since), np.int64)


@cache
def _handler() -> Any:
    from pypdfium2 import PdfSysfontBase  # noqa: PLC0415

    class Handler(PdfSysfontBase):  # type: ignore[misc]
        """Passes everything on to PDFium's own, except for the faces that it handed out."""

        def __init__(self) -> None:
            super().__init__()
            self.choice: FontChoice | None = None
            # Handles are places in this list, from 1 on; PDFium's own are addresses.
            self._faces: list[FontFace] = []

        def MapFont(self, _: Any, *wanted: Any) -> Any:  # noqa: N802
            if self.choice is None:
                return self.default.MapFont(self.default, *wanted)
            _weight, _italic, charset, _pitch, _name, _exact = wanted
            found = self.choice.face(charset)
            if found not in self._faces:
                self._faces.append(found)
            return self._faces.index(found) + 1

        def GetFontData(  # noqa: N802
            self, _: Any, font: Any, table: int, buffer: Any, size: int
        ) -> int:
            if not self._own(font):
                return int(self.default.GetFontData(self.default, font, table, buffer, size))
            face = self._faces[font - 1]
            data = memoryview(face.data)
            if table == _COLLECTION:
                wanted = data if face.start else data[:0]
            else:
                # Of a collection only the length is asked for, to find the face in it.
                wanted = data[:0] if table else data[face.start :]
            return _put(wanted, buffer, size)

        def _own(self, font: Any) -> bool:
            return bool(font) and 0 < font <= len(self._faces)

        def GetFaceName(self, _: Any, font: Any, buffer: Any, size: int) -> int:  # noqa: N802
            if not self._own(font):
                return int(self.default.GetFaceName(self.default, font, buffer, size))
            # PDFium keeps faces by their names.
            return _put(b"ocrpool-%d\0" % font, buffer, size)

        def GetFontCharset(self, _: Any, font: Any) -> int:  # noqa: N802
            if self._own(font):
                return 0
            return int(self.default.GetFontCharset(self.default, font))

        def DeleteFont(self, _: Any, font: Any) -> None:  # noqa: N802
            if not self._own(font):
                self.default.DeleteFont(self.default, font)

    handler = Handler()
    handler.setup()
    return handler


def _put(data: bytes | memoryview, buffer: Any, size: int) -> int:
    """Into PDFium's buffer, where it is large enough; the length in any case."""
    if buffer and 0 < len(data) <= size:
        place = (ctypes.c_ubyte * len(data)).from_address(_address(buffer))
        memoryview(place).cast("B")[:] = data
    return len(data)


def _address(buffer: Any) -> int:
    address = ctypes.cast(buffer, ctypes.c_void_p).value
    assert address is not None
    return address
