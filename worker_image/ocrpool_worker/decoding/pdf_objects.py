"""The objects of a PDF's page, those inside of its forms included, up to a bound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Objects of a page that are looked at, in all of its forms, and how deep forms may nest.
MOST_OBJECTS, MOST_DEPTH = 20_000, 8


def page_objects(page: Any) -> Iterator[tuple[Any, bool]]:
    """The objects of a page that are no forms, and whether each is inside of one."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    yield from _objects(pdfium.FPDFPage_CountObjects, pdfium.FPDFPage_GetObject, page.raw)


def annotation_objects(annotation: Any) -> Iterator[Any]:
    """The objects that an annotation is drawn with, which are no forms."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    found = _objects(pdfium.FPDFAnnot_GetObjectCount, pdfium.FPDFAnnot_GetObject, annotation)
    yield from (item for item, _ in found)


def _objects(count: Any, get: Any, parent: Any) -> Iterator[tuple[Any, bool]]:
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    left = MOST_OBJECTS
    stack = [(count, get, parent, 0)]
    while stack:
        count, get, parent, depth = stack.pop()
        for index in range(min(count(parent), left)):
            left -= 1
            item = get(parent, index)
            if not item:
                continue
            if pdfium.FPDFPageObj_GetType(item) != pdfium.FPDF_PAGEOBJ_FORM:
                yield item, depth > 0
            elif depth < MOST_DEPTH:
                form = (pdfium.FPDFFormObj_CountObjects, pdfium.FPDFFormObj_GetObject, item)
                stack.append((*form, depth + 1))
