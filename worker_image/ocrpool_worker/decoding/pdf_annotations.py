"""Characters of form fields, stamps and comments that cannot be drawn; see `pdf_glyphs`.

What an annotation is drawn with does not belong to the page's text. A field and a comment say what
stands in them; others are looked at in a copy of the document in which they are part of the page.
"""

from __future__ import annotations

import ctypes
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

from ocrpool_worker.decoding.pdf_glyphs import UNDRAWN, Borrowed, Undrawn, undrawn
from ocrpool_worker.decoding.pdf_objects import annotation_objects

# Annotations of a page that are looked at, and characters of each that says what stands in it.
MOST_ANNOTATIONS, MOST_CHARACTERS = 1000, 10_000

# What PDFium's own fonts have: Windows' letters of Western Europe, and three more.
_OWN = frozenset(bytes(range(256)).decode("cp1252", "ignore") + "Łłı")


def undrawn_annotations(
    pdf: Any, page: Any, flat: Callable[[], AbstractContextManager[Any]]
) -> tuple[Undrawn, Undrawn]:
    """What cannot be drawn of a page's annotations in PDFium's own fonts, and what cannot be drawn
    in any: PDFium makes the picture of a comment that has none in the letters of Western Europe.

    `flat` gives the same page of another opened document, and is asked for it only where it is
    needed."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    borrowed = Borrowed()
    lacking: set[str] = set()
    lost: set[str] = set()
    others = False
    for annotation in _annotations(page):
        # Without objects PDFium draws it by itself, in its own fonts.
        drawn = pdfium.FPDFAnnot_GetObjectCount(annotation) > 0
        texts = list(annotation_objects(annotation, pdfium.FPDF_PAGEOBJ_TEXT))
        if drawn and not any(borrowed(item) for item, _ in texts):
            continue
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        if kind == pdfium.FPDF_ANNOT_WIDGET:
            if pdf.formenv:
                form = pdf.formenv.raw
                value = partial(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
                lacking |= _lacking(value)
        elif kind == pdfium.FPDF_ANNOT_FREETEXT:
            contents = partial(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents")
            (lacking if drawn else lost).update(_lacking(contents))
        else:
            others = others or bool(texts)
    found = Undrawn(frozenset(lacking))
    if others:
        with flat() as copy:
            found |= undrawn(copy)
    return found, Undrawn(frozenset(lost))


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


def _lacking(get: Callable[..., int]) -> set[str]:
    """The characters of a text that PDFium's own fonts lack."""
    size = min(get(None, 0), 2 * MOST_CHARACTERS)
    # A whole number of characters, or PDFium writes nothing.
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    if get(buffer, ctypes.sizeof(buffer)) > ctypes.sizeof(buffer):
        return set()
    text = bytes(buffer).decode("utf-16-le", "ignore")
    return {each for each in text if each not in _OWN and unicodedata.category(each) not in UNDRAWN}
