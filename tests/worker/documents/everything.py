"""All kinds of documents, grouped by subject."""

from __future__ import annotations

from tests.worker.documents import (
    bitmaps,
    grounds,
    jpegs,
    layouts,
    letters,
    pdf_faxes,
    pdf_pages,
    pdf_scans,
    tiffs,
)
from tests.worker.documents.kind import Kind

GROUPS: dict[str, tuple[Kind, ...]] = {
    "JPEG": jpegs.KINDS,
    "PNG and BMP": bitmaps.KINDS,
    "TIFF": tiffs.KINDS,
    "Scans in PDFs": (*pdf_faxes.KINDS, *pdf_scans.KINDS),
    "Drawn pages of PDFs": pdf_pages.KINDS,
    "Paper, ground and marks": grounds.KINDS,
    "Letters and digits": letters.KINDS,
    "Lines on the page": layouts.KINDS,
}
KINDS = tuple(kind for kinds in GROUPS.values() for kind in kinds)
