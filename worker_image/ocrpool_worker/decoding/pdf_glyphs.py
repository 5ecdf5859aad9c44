"""Characters of a page that PDFium cannot draw, because their font is not in the PDF and no other
one has a glyph for them.

Only fonts that are not embedded are looked at: what the author put into the file is taken as it is
meant. Text that is drawn nowhere (invisible text over a scan, text outside of the page) lacks
nothing either.
"""

from __future__ import annotations

import ctypes
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ocrpool_worker.decoding.pdf_objects import font_of, page_objects
from ocrpool_worker.engine.base import PageWarning

# Characters of a page that are looked at: 0.3 seconds where none of them is of ASCII.
MOST_CHARACTERS = 50_000
# Characters that a warning names.
MOST_NAMED = 40
MISSING = "MissingGlyphs"

_SAMPLE = 500
_INVISIBLE = (3, 7)  # text rendering modes: nothing, and as a clip only
# Controls and formats (soft hyphens, joiners), marks that are drawn with their letter, spaces, and
# private characters, which stand for bullets and the like.
UNDRAWN = frozenset(("Cc", "Cf", "Cn", "Co", "Me", "Mn", "Zl", "Zp", "Zs"))


@dataclass(frozen=True)
class Undrawn:
    """`characters` that have no glyph, and how many of them are `unnamed`: the PDF only gives
    numbers of glyphs in a font that is not there."""

    characters: frozenset[str] = frozenset()
    unnamed: int = 0

    def __bool__(self) -> bool:
        return bool(self.characters or self.unnamed)

    def __or__(self, other: Undrawn) -> Undrawn:
        return Undrawn(self.characters | other.characters, self.unnamed + other.unnamed)

    @property
    def amount(self) -> int:
        return len(self.characters) + self.unnamed

    def warnings(self) -> tuple[PageWarning, ...]:
        found = []
        if self.characters:
            named = "".join(sorted(self.characters)[:MOST_NAMED])
            more = len(self.characters) - MOST_NAMED
            found.append(
                "characters of the page are in a font that is not in the PDF, and cannot be drawn "
                f"with those of this machine: {named}"
                f"{f' and {more} more' if more > 0 else ''}; embed the fonts in the PDF, or "
                "install a font that has them where the worker runs (fonts-wqy-microhei)"
            )
        if self.unnamed:
            found.append(
                f"{self.unnamed} letters of the page are given by their numbers in a font that is "
                "not in the PDF; they are drawn as a common font numbers them, and may be others: "
                "embed the fonts in the PDF"
            )
        return tuple(PageWarning(MISSING, message) for message in found)


def undrawn(page: Any) -> Undrawn:
    """What cannot be drawn of a page with the fonts that its document was opened with."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    borrowed = Borrowed()
    # Most pages have all fonts in the file, or no text, and cost no more than this.
    texts = page_objects(page, pdfium.FPDF_PAGEOBJ_TEXT)
    if not any(borrowed(item) for item, _ in texts):
        return Undrawn()
    try:
        text = page.get_textpage()
    except RuntimeError:
        return Undrawn()  # PDFium draws the page all the same
    try:
        return _undrawn(page, text.raw, borrowed)
    finally:
        text.close()


def _undrawn(page: Any, text: Any, borrowed: Borrowed) -> Undrawn:
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    box = page.get_bbox()
    drawn: set[tuple[int, str]] = set()
    lacking: set[str] = set()
    unnamed = 0
    for index, character in _to_look_at(text):
        item = pdfium.FPDFText_GetTextObject(text, index)
        font = borrowed(item and ctypes.cast(item, ctypes.c_void_p).value)
        if font is None or pdfium.FPDFText_IsGenerated(text, index) == 1:
            continue
        if pdfium.FPDFText_HasUnicodeMapError(text, index) == 1:
            unnamed += _shows(text, index, item, box)
            continue
        key = (font, character)
        if character in lacking or key in drawn or unicodedata.category(character) in UNDRAWN:
            continue
        if pdfium.FPDFFont_GetGlyphPath(pdfium.FPDFTextObj_GetFont(item), ord(character), 12.0):
            drawn.add(key)
        elif _shows(text, index, item, box):
            lacking.add(character)
    return Undrawn(frozenset(lacking), unnamed)


def _to_look_at(text: Any) -> Iterator[tuple[int, str]]:
    """(index, character) of a text page, up to MOST_CHARACTERS, but for those of ASCII, which all
    of PDFium's fonts have: they come only where the page has letters without a name, which seem to
    be any. Those stand in runs, so that a sample tells."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    count = min(pdfium.FPDFText_CountChars(text), MOST_CHARACTERS)
    sample = range(0, count, max(1, count // _SAMPLE))
    if any(pdfium.FPDFText_HasUnicodeMapError(text, index) == 1 for index in sample):
        yield from ((index, chr(pdfium.FPDFText_GetUnicode(text, index))) for index in range(count))
        return
    buffer = (ctypes.c_ushort * (count + 1))()
    written = pdfium.FPDFText_GetText(text, 0, count, buffer)
    units = bytes(buffer)[: 2 * max(0, written - 1)]
    at = 0
    # What cannot be decoded is half of a character: it is passed over, as one unit.
    for character in units.decode("utf-16-le", "replace"):
        if character > "~":
            yield pdfium.FPDFText_GetCharIndexFromTextIndex(text, at), character
        at += 1 if character <= "\uffff" else 2


class Borrowed:
    """Handles of text objects → their fonts that are not in the PDF; each font is asked once."""

    def __init__(self) -> None:
        import pypdfium2.raw as pdfium  # noqa: PLC0415

        self._pdfium = pdfium
        self._known: dict[int, bool] = {}

    def __call__(self, item: int | None) -> int | None:
        """The font's handle, or None where it is embedded or there is none."""
        font = font_of(item) if item else None
        if not font:
            return None
        known = self._known.get(font)
        if known is None:
            handle = ctypes.cast(font, self._pdfium.FPDF_FONT)
            self._known[font] = known = self._pdfium.FPDFFont_GetIsEmbedded(handle) == 0
        return font if known else None


def _shows(text: Any, index: int, item: Any, box: tuple[float, float, float, float]) -> bool:
    """Whether a character would be seen: it is neither invisible nor outside of the page."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    if pdfium.FPDFTextObj_GetTextRenderMode(item) in _INVISIBLE:
        return False
    x, y = ctypes.c_double(), ctypes.c_double()
    if not pdfium.FPDFText_GetCharOrigin(text, index, x, y):
        return True
    left, bottom, right, top = box
    return left <= x.value <= right and bottom <= y.value <= top
