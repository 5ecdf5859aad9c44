"""Iterate over the objects of a PDF's page, including those inside its forms, up to a bound.

A page has thousands of objects. Handles are integers here, and functions are called by their
addresses: PDFium's bindings create an object for every pointer, which takes longer than drawing the
page.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import cache
from typing import Any

# MOST_OBJECTS: objects of the requested kind, and forms, that are examined on a page, which takes a
# tenth of a second. Other objects, such as the lines of a map, do not count: PDFium has read them
# before, which took longer than skipping them. MOST_DEPTH: nesting of forms; PDFium limits it too.
MOST_OBJECTS, MOST_DEPTH = 200_000, 50
# The same for one annotation.
MOST_DRAWN = 1000


def page_objects(page: Any, kind: int) -> Iterator[tuple[Any, bool]]:
    """Yield (handle, whether it is inside a form) for each object of a kind (`FPDF_PAGEOBJ_…`).

    At the bound, the last handle is None: there are more objects.
    """
    return _objects("FPDFPage_CountObjects", "FPDFPage_GetObject", page.raw, kind, MOST_OBJECTS)


def annotation_objects(annotation: Any, kind: int) -> Iterator[tuple[Any, bool]]:
    """Yield the same for the objects of an annotation."""
    return _objects("FPDFAnnot_GetObjectCount", "FPDFAnnot_GetObject", annotation, kind, MOST_DRAWN)


def object_of(handle: int) -> Any:
    """The object of PDFium's bindings for a handle."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    return ctypes.cast(handle, pdfium.FPDF_PAGEOBJECT)


def font_of(handle: int) -> int | None:
    """The handle of a text object's font."""
    font: int | None = plain("FPDFTextObj_GetFont", ctypes.c_void_p)(handle)
    return font


def _objects(count: str, get: str, parent: Any, kind: int, most: int) -> Iterator[tuple[Any, bool]]:
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    kind_of = plain("FPDFPageObj_GetType", ctypes.c_int)
    left = most
    stack = [(count, get, ctypes.cast(parent, ctypes.c_void_p).value, 0)]
    while stack:
        count, get, within, depth = stack.pop()
        item_of = plain(get, ctypes.c_void_p, ctypes.c_int)
        for index in range(plain(count, ctypes.c_int)(within)):
            item = item_of(within, index)
            found = kind_of(item) if item else 0
            if found not in (kind, pdfium.FPDF_PAGEOBJ_FORM):
                continue
            left -= 1
            if left < 0:
                yield None, depth > 0
                return
            if found == kind:
                yield item, depth > 0
            elif depth < MOST_DEPTH:
                stack.append(("FPDFFormObj_CountObjects", "FPDFFormObj_GetObject", item, depth + 1))


@cache
def plain(name: str, result: Any, *more: Any) -> Any:
    """A function of PDFium whose first argument is an integer handle."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    address = ctypes.cast(getattr(pdfium, name), ctypes.c_void_p).value
    assert address is not None
    return ctypes.CFUNCTYPE(result, ctypes.c_void_p, *more)(address)
