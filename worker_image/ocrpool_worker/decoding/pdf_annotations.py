"""Find characters of form fields, stamps and comments that cannot be drawn; see `pdf_glyphs`.

The objects of an annotation do not belong to the page's text. Form fields and comments give their
text directly. Other annotations are examined in a copy of the document in which they are part of
the page.
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

# Annotations of a page that are examined, and characters of form fields and comments. PDFium
# returns such a text as a whole or not at all.
MOST_ANNOTATIONS, MOST_CHARACTERS = 1000, 2_000_000

# The characters of PDFium's own fonts: Windows-1252 (Western Europe), and three more.
_OWN = frozenset(bytes(range(256)).decode("cp1252", "ignore") + "Łłı")


def undrawn_annotations(
    pdf: Any, page: Any, flat: Callable[[], AbstractContextManager[Any]]
) -> tuple[UndrawnText, UndrawnText]:
    """Find the text of a page's annotations that cannot be drawn.

    Returns (text that PDFium's own fonts lack, text that cannot be drawn in any font). The second
    exists because PDFium draws a comment without an appearance only in Western European letters.
    `flat` opens the same page in a copy with flattened annotations, and is called only if needed.
    """
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    non_embedded = NonEmbeddedFonts()
    texts_of = _AnnotationText()
    bounds: set[str] = set()
    others = False
    if pdfium.FPDFPage_GetAnnotCount(page.raw) > MOST_ANNOTATIONS:
        bounds.add(f"{MOST_ANNOTATIONS} annotations")
    for annotation in _annotations(page):
        # An annotation without objects is drawn by PDFium, in its own fonts.
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
            # The copy also contains the page's own pieces of text.
            found |= replace(find_undrawn_text(copy), empty=0, pieces=0)
    return found, UndrawnText(frozenset(texts_of.lost), bounds=frozenset(bounds | texts_of.bounds))


def flatten(page: Any) -> bool:
    """Make the annotations part of the page. This takes effect when the page is opened again."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    return bool(pdfium.FPDFPage_Flatten(page.raw, pdfium.FLAT_NORMALDISPLAY))


def _annotations(page: Any) -> Iterator[Any]:
    """The annotations that are displayed."""
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
    """Whether a form field is a password field, whose value must not appear in a warning."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    flags = pdfium.FPDFAnnot_GetFormFieldFlags(form, annotation)
    return bool(flags & pdfium.FPDF_FORMFLAG_TEXT_PASSWORD)


class _AnnotationText:
    """Collects the characters of texts that PDFium's own fonts lack. `lost`: those of texts that
    PDFium draws in no other fonts."""

    def __init__(self) -> None:
        self.characters: set[str] = set()
        self.lost: set[str] = set()
        self.bounds: set[str] = set()
        self._left = MOST_CHARACTERS

    def lacking(self, get: Callable[..., int], *, lost: bool = False) -> None:
        """Add the missing characters of the text that `get` copies into a buffer."""
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
