"""Text of a PDF in a font that is not embedded, read by PaddleOCR."""

from __future__ import annotations

import pytest

from tests.worker import pdf_texts as texts
from tests.worker.client import Worker

pytestmark = pytest.mark.timeout(400)


@pytest.mark.parametrize(
    ("encoding", "codec"), [(b"UniGB-UCS2-H", "utf-16-be"), (b"GBK-EUC-H", "gbk")]
)
def test_letters_that_pdfium_lacks_are_read(
    encoding: bytes, codec: str, paddle_worker: Worker
) -> None:
    """The project's own font has these four letters, so no font of the machine is needed."""
    answer = paddle_worker.post(texts.asian_pdf(b"GB1", encoding, "发票号码".encode(codec)))
    assert answer.status == 200, answer
    (page,) = answer.json["pages"]
    assert "".join(line["text"] for line in page["lines"]) == "发票号码"
    assert "warnings" not in page
