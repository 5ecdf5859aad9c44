"""Characters of form fields, stamps and comments that cannot be drawn; see `pdf_glyphs`.

What an annotation is drawn with does not belong to the page's text. A field and a comment say what
stands in them; others are looked at in a copy of the document in which they are part of the page.
"""

from __future__ import annotations

import ctypes
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from ocrpool_worker.decoding.pdf_glyphs import (
    UNDRAWN,
    NonEmbeddedFonts,
    UndrawnText,
    find_undrawn_text,
)
from ocrpool_worker.decoding.pdf_objects import MOST_DRAWN, annotation_objects

# Annotations of a page that are looked at, and characters of those that say what stands in them:
# PDFium gives the text of one as a whole or not at all.
MOST_ANNOTATIONS, MOST_CHARACTERS = 1000, 2_000_000

# What PDFium's own fonts have: Windows' letters of Western Europe, and three more.
_OWN = frozenset(bytes(range(256)).decode("cp1252", "ignore") + "Łłı")


def undrawn_annotations(
    pdf: Any, page: Any, flat: Callable[[], AbstractContextManager[Any]]
) -> tuple[UndrawnText, UndrawnText]:
    """What cannot be drawn of a page's annotations in PDFium's own fonts, and what cannot be drawn
    in any: PDFium makes the picture of a comment that has none in the letters of Western Europe.

    `flat` gives the same page of another opened document, and is asked for it only where it is
    needed."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    non_embedded = NonEmbeddedFonts()
    texts_of = _AnnotationText()
    bounds: set[str] = set()
    others = False
    if pdfium.FPDFPage_GetAnnotCount(page.raw) > MOST_ANNOTATIONS:
        bounds.add(f"{MOST_ANNOTATIONS} annotations")
    for annotation in _annotations(page):
        # Without objects PDFium draws it by itself, in its own fonts.
        drawn = pdfium.FPDFAnnot_GetObjectCount(annotation) > 0
        texts = [item for item, _ in annotation_objects(annotation, pdfium.FPDF_PAGEOBJ_TEXT)]
        if drawn and not any(non_embedded(item) for item in texts):
            if None in texts:
                bounds.add(f"{MOST_DRAWN} pieces of text of an annotation")
            continue
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        if kind == pdfium.FPDF_ANNOT_WIDGET:
            if pdf.formenv and not _is_password(pdf.formenv.raw, annotation):
                form = pdf.formenv.raw
                texts_of.lacking(partial(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation))
        elif kind == pdfium.FPDF_ANNOT_FREETEXT:
            contents = partial(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents")
            texts_of.lacking(contents, lost=not drawn)
        else:
            others = others or bool(texts)
    found = UndrawnText(frozenset(texts_of.characters))
    if others:
        with flat() as copy:
            # The page's own pieces of text are in the copy as well.
            found |= replace(find_undrawn_text(copy), empty=0, pieces=0)
    return found, UndrawnText(frozenset(texts_of.lost), bounds=frozenset(bounds | texts_of.bounds))


def flatten(page: Any) -> bool:
    """Make the annotations part of the page, which shows when it is opened again."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    return bool(pdfium.FPDFPage_Flatten(page.raw, pdfium.FLAT_NORMALDISPLAY))


def _annotations(page: Any) -> Iterator[Any]:
    """Those that are shown."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    hidden = pdfium.FPDF_ANNOT_FLAG_HIDDEN | pdfium.FPDF_ANNOT_FLAG_NOVIEW
    count = pdfium.FPDFPage_GetAnnotCount(page.raw)
    for index in range(min(count, MOST_ANNOTATIONS)):
        with _opened(page, index) as annotation:
            if annotation and not pdfium.FPDFAnnot_GetFlags(annotation) & hidden:
                yield annotation


@contextmanager
def _opened(page: Any, index: int) -> Iterator[Any]:
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    annotation = pdfium.FPDFPage_GetAnnot(page.raw, index)
    try:
        yield annotation
    finally:
        if annotation:
            pdfium.FPDFPage_CloseAnnot(annotation)


def _is_password(form: Any, annotation: Any) -> bool:
    """Whether a form field shows something else than its value, which no warning may tell."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    flags = pdfium.FPDFAnnot_GetFormFieldFlags(form, annotation)
    return bool(flags & pdfium.FPDF_FORMFLAG_TEXT_PASSWORD)


class _AnnotationText:
    """The characters of texts that PDFium's own fonts lack; `lost`: those of texts that it draws in
    no other ones."""

    def __init__(self) -> None:
        self.characters: set[str] = set()
        self.lost: set[str] = set()
        self.bounds: set[str] = set()
        self._left = MOST_CHARACTERS

    def lacking(self, get: Callable[..., int], *, lost: bool = False) -> None:
        """Add those of the text that `get` puts into a buffer."""
        size = get(None, 0)
        self._left -= size // 2
        if self._left < 0:
            self.bounds.add(f"{MOST_CHARACTERS} characters of annotations")
            return
        buffer = (ctypes.c_ushort * (size // 2 + 1))()
        get(buffer, ctypes.sizeof(buffer))
        text = set(bytes(buffer).decode("utf-16-le", "ignore")) - _OWN
        found = self.lost if lost else self.characters
        found |= {each for each in text if unicodedata.category(each) not in UNDRAWN}
