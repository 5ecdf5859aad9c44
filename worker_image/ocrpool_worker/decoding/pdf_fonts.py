"""Substitute fonts of this machine for fonts that a PDF does not embed.

PDFium draws such text in its own fonts. They have the letters of Western Europe; for other
characters (Polish ą, Cyrillic, Greek, Chinese) nothing is drawn. On request, PDFium gets faces of
this machine instead, through its hook (`fpdf_sysfontinfo.h`). Otherwise the hook behaves like
PDFium's own, so pages that lack nothing do not change.
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

# PDFium's numbers of character sets (those of Windows) → an encoding with the same characters.
_EAST_ASIAN = {134: "gb2312", 136: "big5", 128: "shift_jis", 129: "euc_kr"}
_LETTERS = ("cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "cp1258")
# The tag of a collection's header, with which PDFium requests the whole file of a collection.
_COLLECTION = 0x74746366


@dataclass(frozen=True)
class FontChoice:
    """The faces to draw with: one for each of PDFium's character sets, and `other` for all else,
    also for characters that the face of a character set lacks."""

    by_charset: Mapping[int, FontFace]
    other: FontFace

    def face(self, charset: int) -> FontFace:
        return self.by_charset.get(charset, self.other)

    def lacks(self, characters: set[str]) -> set[str]:
        """The characters that none of the faces has."""
        import numpy as np  # noqa: PLC0415

        codes = np.array(sorted(ord(each) for each in characters), np.int64)
        found = np.zeros(len(codes), np.bool_)
        for face in {self.other, *self.by_charset.values()}:
            found |= covered(face, codes)
        return {chr(code) for code in codes[~found]}


@cache
def choose_fonts() -> FontChoice | None:
    """The faces of this machine that cover most characters; None if it has none. Searched once."""
    # These encodings also hold Greek and Cyrillic letters, which are left out here.
    east = {charset: _repertoire(name, since=0x2E80) for charset, name in _EAST_ASIAN.items()}
    letters = _repertoire(*_LETTERS)
    scores = []
    for face in font_faces():
        try:
            share = float(covered(face, letters).mean())
            shares = {charset: float(covered(face, each).mean()) for charset, each in east.items()}
        except Exception as error:  # a damaged file causes many kinds of exceptions
            log_unusable(face.path, error)
            continue
        # The file is not kept open, because there may be more files than a process may open.
        scores.append(_FontCoverage(face.path, share, shares))
    # `other` has all letters and most of East Asia, because it is also used for what others lack.
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
    """The part of all letters, and of each East Asian character set, that a font file covers."""

    path: Path
    letters: float
    shares: Mapping[int, float]


def _share(charset: int, score: _FontCoverage) -> float:
    return score.shares[charset]


def _best(scores: list[_FontCoverage], key: Callable[[_FontCoverage], Any]) -> FontFace | None:
    """The best face whose file can still be opened."""
    for score in sorted(scores, key=key, reverse=True):
        try:
            return open_face(score.path)
        except Exception as error:  # as above
            log_unusable(score.path, error)
    return None


@contextmanager
def substituting(choice: FontChoice) -> Iterator[None]:
    """Within this context, PDFium loads these faces for fonts that are not embedded."""
    handler = _handler()
    handler.choice = choice
    try:
        yield
    finally:
        handler.choice = None


def install() -> None:
    """Install the hook. PDFium searches the machine's fonts once, when it first needs one, so the
    hook must be installed before."""
    _handler()


@cache
def _repertoire(*encodings: str, since: int = 0x80) -> Codes:
    """All characters of these encodings, from the code `since` on."""
    import numpy as np  # noqa: PLC0415

    high = range(0x80, 0x100)
    single = bytes(high)
    # Separated by spaces, so that an invalid pair does not shift the next one.
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
        """Forwards everything to PDFium's own hook, except for the substituted faces."""

        def __init__(self) -> None:
            super().__init__()
            self.choice: FontChoice | None = None
            # A handle is the position in this list plus 1. PDFium's own handles are addresses.
            self._faces: list[FontFace] = []

        def MapFont(self, _: Any, *request: Any) -> Any:  # noqa: N802
            if self.choice is None:
                return self.default.MapFont(self.default, *request)
            _weight, _italic, charset, _pitch, _name, _exact = request
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
                part = data if face.start else data[:0]
            else:
                # For a collection PDFium needs only the length, to find the face in it.
                part = data[:0] if table else data[face.start :]
            return _put(part, buffer, size)

        def _own(self, font: Any) -> bool:
            return bool(font) and 0 < font <= len(self._faces)

        def GetFaceName(self, _: Any, font: Any, buffer: Any, size: int) -> int:  # noqa: N802
            if not self._own(font):
                return int(self.default.GetFaceName(self.default, font, buffer, size))
            # PDFium caches faces by their names.
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
    """Copy `data` into PDFium's buffer if it fits. Returns the length in any case."""
    if buffer and 0 < len(data) <= size:
        place = (ctypes.c_ubyte * len(data)).from_address(_address(buffer))
        memoryview(place).cast("B")[:] = data
    return len(data)


def _address(buffer: Any) -> int:
    address = ctypes.cast(buffer, ctypes.c_void_p).value
    assert address is not None
    return address
