"""Open a PDF and its pages, and warn about parts of a document that are not read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ocrpool_worker.decoding.document import decoder_errors
from ocrpool_worker.engine.base import PageWarning
from ocrpool_worker.errors import NotAnImage

# Attached files that are examined, and those that a warning names.
MOST_ATTACHED, MOST_NAMED = 100, 5
XFA_FORM, ATTACHED = "XfaForm", "AttachedFiles"

# Attachments that a person expects to be read. The XML of an invoice is not among them.
_READABLE = (".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")


def load_pdf(data: bytes) -> Any:
    """Open the document with its forms. Raises NotAnImage."""
    import pypdfium2  # noqa: PLC0415
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    messages = {
        pdfium.FPDF_ERR_PASSWORD: (
            "the PDF is encrypted and needs a password to be read; save or print it without one"
        ),
        pdfium.FPDF_ERR_SECURITY: (
            "the PDF is encrypted in an unsupported way (a rights management system); save or "
            "print it without encryption"
        ),
    }
    with decoder_errors("the PDF cannot be opened"):
        try:
            pdf = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            if error.err_code not in messages:
                raise
            raise NotAnImage(messages[error.err_code], field="file") from None
        pdf.init_forms()
        return pdf


@contextmanager
def open_page(pdf: Any, index: int) -> Iterator[Any]:
    """Open one page. Raises NotAnImage."""
    with decoder_errors(f"page {index + 1} of the PDF cannot be read"):
        page = pdf[index]
        try:
            if not all(page.get_size()):
                page = _uncropped(pdf, page, index)
            yield page
        finally:
            page.close()


def _uncropped(pdf: Any, page: Any, index: int) -> Any:
    """The page without its CropBox, which leaves nothing of it. Other readers do the same."""
    page.set_cropbox(*page.get_mediabox())
    page.close()
    return pdf[index]


def document_warnings(pdf: Any) -> tuple[PageWarning, ...]:
    """Warnings about contents of the document that are on none of its pages."""
    import pypdfium2.raw as pdfium  # noqa: PLC0415

    found = []
    if pdf.get_formtype() == pdfium.FORMTYPE_XFA_FULL:
        found.append(
            PageWarning(
                XFA_FORM,
                "the PDF is an XFA form, which only Adobe's programs display: the placeholder page "
                "was read instead; print it to a PDF with Adobe's programs, and send that",
            )
        )
    files = [name for name in _attached(pdf) if name.lower().endswith(_READABLE)]
    if files:
        more = f" and {len(files) - MOST_NAMED} more" if len(files) > MOST_NAMED else ""
        named = ", ".join(name[:80] for name in files[:MOST_NAMED])
        found.append(
            PageWarning(
                ATTACHED,
                f"files are attached to the PDF and were not read: {named}{more}; send them too",
            )
        )
    return tuple(found)


def _attached(pdf: Any) -> Iterator[str]:
    """The names of the attached files, as far as they can be read."""
    for number in range(min(pdf.count_attachments(), MOST_ATTACHED)):
        with suppress(RuntimeError, UnicodeError):
            yield pdf.get_attachment(number).get_name()
