"""Find characters of a page that PDFium cannot draw: their font is not embedded in the PDF, and no
other font has a glyph for them.

Only fonts that are not embedded are examined; embedded fonts are drawn as the author meant them.
Text that is not visible (invisible text over a scan, text outside the page) is ignored.
"""

from __future__ import annotations

import ctypes
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ocrpool_worker.decoding.pdf_objects import (
    MOST_OBJECTS,
    font_of,
    object_of,
    page_objects,
    plain,
)
from ocrpool_worker.engine.base import PageWarning

# Characters of a page that are examined. That takes 0.2 s, or 1 s if none has a Unicode value.
MOST_CHARACTERS = 200_000
# One letter in five or six is a space. If more than this part of the pieces of a page are empty,
# some of them are not spaces.
MOST_SPACES = 1 / 3
# Most characters that a warning names.
MOST_NAMED = 40
MISSING = "MissingGlyphs"

_INVISIBLE = (3, 7)  # text rendering modes: invisible, and clipping only
# Categories that need no glyph of their own: controls and formats (soft hyphens, joiners), unpaired
# surrogates, marks that are drawn with their letter, spaces, and private characters (bullets and
# the like).
UNDRAWN = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Me", "Mn", "Zl", "Zp", "Zs"))


@dataclass(frozen=True)
class UndrawnText:
    """The text of a page that cannot be drawn.

    `characters`: those without a glyph. `unnamed`: number of letters for which the PDF gives only
    the number of a glyph in a missing font. `bounds`: the limits that were reached, if the page was
    not examined completely. `empty`: number of the `pieces` of text of which nothing is drawn. They
    are spaces, or single letters without a glyph; PDFium does not tell which.
    """

    characters: frozenset[str] = frozenset()
    unnamed: int = 0
    bounds: frozenset[str] = frozenset()
    empty: int = 0
    pieces: int = 0

    def __bool__(self) -> bool:
        return self.amount > 0

    def __or__(self, other: UndrawnText) -> UndrawnText:
        return UndrawnText(
            self.characters | other.characters,
            self.unnamed + other.unnamed,
            self.bounds | other.bounds,
            self.empty + other.empty,
            self.pieces + other.pieces,
        )

    @property
    def amount(self) -> int:
        return len(self.characters) + self.unnamed + self.empty

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
                "not in the PDF; they are drawn with the numbers of a common font, and may be "
                "wrong: embed the fonts in the PDF"
            )
        if self.empty > MOST_SPACES * self.pieces:
            found.append(
                f"nothing is drawn of {self.empty} of {self.pieces} pieces of text in fonts that "
                "are not in the PDF: they are spaces, or single letters that no font of this "
                "machine has; embed the fonts in the PDF"
            )
        if self.bounds:
            found.append(
                f"only the first {' and '.join(sorted(self.bounds))} of the page were checked for "
                "characters that cannot be drawn: embed the fonts in the PDF"
            )
        return tuple(PageWarning(MISSING, message) for message in found)


def find_undrawn_text(page: Any) -> UndrawnText:
    """Find the text of a page that the fonts of its opened document cannot draw."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    non_embedded = NonEmbeddedFonts()
    # Most pages embed all fonts, or have no text, and need no more than this loop.
    pieces, empty, bounds = 0, 0, []
    box = page.get_bbox()
    for item, nested in page_objects(page, pdfium.FPDF_PAGEOBJ_TEXT):
        if item is None:
            bounds.append(f"{MOST_OBJECTS} pieces of text")
        elif non_embedded(item):
            pieces += 1
            # Objects inside a form have the form's coordinates.
            empty += _is_empty(item, None if nested else box)
    found = UndrawnText(bounds=frozenset(bounds), empty=empty, pieces=pieces)
    if not pieces:
        return found
    try:
        text = page.get_textpage()
    except RuntimeError:
        return found  # PDFium draws the page nevertheless
    try:
        return found | _undrawn(page, text.raw, non_embedded)
    finally:
        text.close()


def _undrawn(page: Any, text: Any, non_embedded: NonEmbeddedFonts) -> UndrawnText:
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    handle = ctypes.cast(text, ctypes.c_void_p).value
    text_of = plain("FPDFText_GetTextObject", ctypes.c_void_p, ctypes.c_int)
    generated = plain("FPDFText_IsGenerated", ctypes.c_int, ctypes.c_int)
    box = page.get_bbox()
    drawn: set[tuple[int, str]] = set()
    lacking: set[str] = set()
    unnamed = 0
    count = pdfium.FPDFText_CountChars(text)
    for index, character in _to_look_at(handle, min(count, MOST_CHARACTERS)):
        if character in lacking or (character and unicodedata.category(character) in UNDRAWN):
            continue
        item = text_of(handle, index)
        font = non_embedded(item)
        if font is None or generated(handle, index) == 1:
            continue
        key = (font, character)
        if key in drawn:
            continue
        shown = object_of(item)
        if not character:
            unnamed += _shows(text, index, shown, box)
        elif pdfium.FPDFFont_GetGlyphPath(pdfium.FPDFTextObj_GetFont(shown), ord(character), 12.0):
            drawn.add(key)
        elif _shows(text, index, shown, box):
            lacking.add(character)
    bounds = (f"{MOST_CHARACTERS} characters",) if count > MOST_CHARACTERS else ()
    return UndrawnText(frozenset(lacking), unnamed, frozenset(bounds))


def _to_look_at(text: int | None, count: int) -> Iterator[tuple[int, str]]:
    """Yield (index, character) of a text page, with "" for a letter without a Unicode value. ASCII
    is skipped, because all of PDFium's fonts have it."""
    unit_of = plain("FPDFText_GetUnicode", ctypes.c_uint, ctypes.c_int)
    unknown = plain("FPDFText_HasUnicodeMapError", ctypes.c_int, ctypes.c_int)
    high = 0
    for index in range(count):
        if unknown(text, index) == 1:
            # Its Unicode value is meaningless.
            yield index, ""
            high = 0
            continue
        unit = unit_of(text, index)
        # Characters beyond the first 65,536 come as two surrogates.
        if high and 0xDC00 <= unit < 0xE000:
            yield index - 1, chr(0x10000 + ((high - 0xD800) << 10) + (unit - 0xDC00))
        elif unit > 0x7E:
            yield index, chr(unit)
        high = unit if 0xD800 <= unit < 0xDC00 else 0


class NonEmbeddedFonts:
    """Returns the font of a text object if it is not embedded. Each font is checked once."""

    def __init__(self) -> None:
        import pypdfium2.raw as pdfium  # noqa: PLC0415

        self._pdfium = pdfium
        self._known: dict[int, bool] = {}

    def __call__(self, item: int | None) -> int | None:
        """The handle of the object's font, or None if it is embedded or there is none."""
        font = font_of(item) if item else None
        if not font:
            return None
        known = self._known.get(font)
        if known is None:
            handle = ctypes.cast(font, self._pdfium.FPDF_FONT)
            self._known[font] = known = self._pdfium.FPDFFont_GetIsEmbedded(handle) == 0
        return font if known else None


def _is_empty(item: int, box: tuple[float, float, float, float] | None) -> bool:
    """Whether nothing is drawn of a visible text object inside `box`."""
    bounds = plain("FPDFPageObj_GetBounds", ctypes.c_int, *[ctypes.c_void_p] * 4)
    corners = [ctypes.c_float() for _ in range(4)]
    if not bounds(item, *map(ctypes.byref, corners)):
        return False
    x0, y0, x1, y1 = (corner.value for corner in corners)
    if x0 != x1 or y0 != y1:
        return False
    if box is not None and not (box[0] <= x0 <= box[2] and box[1] <= y0 <= box[3]):
        return False
    return plain("FPDFTextObj_GetTextRenderMode", ctypes.c_int)(item) not in _INVISIBLE


def _shows(text: Any, index: int, item: Any, box: tuple[float, float, float, float]) -> bool:
    """Whether a character is visible: neither in an invisible mode nor outside the page."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    if pdfium.FPDFTextObj_GetTextRenderMode(item) in _INVISIBLE:
        return False
    x, y = ctypes.c_double(), ctypes.c_double()
    if not pdfium.FPDFText_GetCharOrigin(text, index, x, y):
        return True
    left, bottom, right, top = box
    return left <= x.value <= right and bottom <= y.value <= top
